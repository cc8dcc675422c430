#include <unlabel/augment/codec/image_files.h>
#include <unlabel/augment/system_error.h>
#include <unlabel/data/check.h>
#include <unlabel/data/formats.h>
#include <unlabel/data/image/folder_splits.h>
#include <unlabel/data/image/folder_walk.h>
#include <unlabel/data/image/image_folder.h>
#include <unlabel/data/image/shards.h>
#include <unlabel/data/io/files.h>
#include <unlabel/data/io/parallel_for.h>
#include <unlabel/data/io/retry.h>

#include <iterator>
#include <map>

namespace unlabel::data {

namespace {

enum class Verdict { kOk, kRefused, kBroken };

struct Outcome {
  Verdict verdict = Verdict::kOk;
  std::string reason;
  augment::DecodeReport decoded{};
};

/// The result of reading and decoding a file: broken is what training would replace. UsageError (a mistake in the options) and IoError (a
/// disk or a network, not the file) are rethrown. `action` gets a report for the decoder's warnings.
template <class Action>
Outcome outcome_of(const Action& action) {
  Outcome outcome;
  const auto broken = broken_reason([&] {
    retry([&] {
      outcome = {};
      action(&outcome.decoded);
    });
  });
  return broken ? Outcome{Verdict::kBroken, *broken} : outcome;
}

/// A file in the folder that is checked.
struct Item {
  Belongs belongs = Belongs::kYes;
  bool test = false;  ///< of the test split
};

/// Why a file is not taken.
std::string refusal(const std::string& path, Belongs belongs, int root) {
  switch (belongs) {
    case Belongs::kForeignImage:
      return "an image in a format that is not read; convert it to JPEG or PNG";
    case Belongs::kHidden:
      return "hidden: its name, or that of a folder above it, begins with a dot";
    case Belongs::kSystem:
      return "in a folder of thumbnails, deleted files and the like";
    case Belongs::kLeftOut:
      return "left out: its folder is of no split that is taken";
    case Belongs::kNowhere:
      return "a link to nowhere: is a disk not mounted?";
    case Belongs::kForbidden:
      return "a folder that may not be read: what is in it is not looked at";
    default:
      break;
  }
  const auto format = content_format(root, path.c_str());
  if (format.name.empty()) return "not an image, by its name";
  return concat("not an image by its name, but ", format.name, " by its content: ",
                format.decoded ? "name it .jpg, .png ..." : "its format is not read; convert it to JPEG or PNG");
}

/// Checks `count` items on several threads. `judge(i, scratch)` gives the outcome of one, with memory that the thread reuses; `name(i)` its
/// path.
template <class Judge, class Name>
CheckReport check_all(std::size_t count, int thread_count, const Judge& judge, const Name& name) {
  CheckReport report;
  report.files = static_cast<std::int64_t>(count);
  std::vector<std::pair<std::size_t, Outcome>> bad;
  augment::DecodeReport decoded;
  std::mutex mutex;  // guards both
  parallel_for(count, static_cast<std::size_t>(thread_count), [&] {
    return [&, scratch = augment::ImageSource()](std::size_t i) mutable {
      auto outcome = judge(i, scratch);
      const bool ok = outcome.verdict == Verdict::kOk;
      if (ok && outcome.decoded.deep_images == 0) return;
      const std::lock_guard lock(mutex);
      decoded += outcome.decoded;
      if (ok) return;
      bad.emplace_back(i, std::move(outcome));
    };
  });

  report.ok = report.files - static_cast<std::int64_t>(bad.size());
  std::ranges::sort(bad, {}, [](const auto& item) { return item.first; });
  for (auto& [i, outcome] : bad)
    (outcome.verdict == Verdict::kBroken ? report.broken : report.refused)
        .push_back({name(i), std::move(outcome.reason)});
  if (auto warning = augment::range_warning(decoded); !warning.empty()) report.notes.push_back(std::move(warning));
  return report;
}

/// The files that training uses are found by opening the data set as training does, so that both agree.
CheckReport check_folder(const std::string& directory, const CheckOptions& options) {
  const FolderWalk walk(directory, {.all = true});
  std::map<std::string, Item> items;  // by their paths
  for (const auto& entry : walk.entries)
    items[walk.path(entry)].belongs = entry.belongs == Belongs::kYes ? Belongs::kLeftOut : entry.belongs;
  std::vector<std::string> notes;
  const auto splits = splits_of(directory);
  const auto take = [&](Split split, const std::string& below) {
    try {
      const auto dataset = open_folder_split(directory, split);
      const auto prefix = below.empty() ? "" : below + "/";
      for (std::int64_t i = 0; i < dataset->size(); ++i)
        items[prefix + dataset->name(i)] = {Belongs::kYes, split == Split::kTest};
      for (auto& note : dataset->notes()) notes.push_back(std::move(note));
    } catch (const NoImages& error) {
      notes.emplace_back(error.what());
    }
  };
  if (!splits.test.empty()) take(Split::kTest, splits.test);
  take(Split::kTrain, splits.layout.train);

  std::vector<const std::pair<const std::string, Item>*> all;
  all.reserve(items.size());
  for (const auto& item : items) all.push_back(&item);
  std::atomic<std::int64_t> test = 0;
  auto report = check_all(
      all.size(), options.threads,
      [&](std::size_t i, augment::ImageSource& scratch) -> Outcome {
        const auto& path = all[i]->first;
        const auto& item = all[i]->second;
        if (item.belongs == Belongs::kYes || (item.belongs == Belongs::kLeftOut && augment::is_image_name(path))) {
          auto outcome = outcome_of([&](augment::DecodeReport* decoded) {
            read_file(walk.root_fd.get(), path.c_str(), path, kMaxFileBytes, scratch.bytes);
            augment::decode(scratch.bytes, options.decode, decoded);
          });
          if (outcome.verdict == Verdict::kOk && item.test) ++test;
          if (outcome.verdict != Verdict::kOk || item.belongs == Belongs::kYes) return outcome;
        }
        return {Verdict::kRefused, refusal(path, item.belongs, walk.root_fd.get())};
      },
      [&](std::size_t i) { return all[i]->first; });
  report.test = test;
  report.notes.insert(report.notes.begin(), std::make_move_iterator(notes.begin()),
                      std::make_move_iterator(notes.end()));
  return report;
}

/// Decodes every sample of a data set whose files hold many.
CheckReport check_samples(const Dataset& dataset, const CheckOptions& options) {
  return check_all(
      static_cast<std::size_t>(dataset.size()), options.threads,
      [&](std::size_t i, augment::ImageSource& scratch) {
        return outcome_of([&](augment::DecodeReport* decoded) {
          dataset.read(static_cast<std::int64_t>(i), scratch);
          augment::decode(scratch, options.decode, decoded);
        });
      },
      [&](std::size_t i) { return dataset.name(static_cast<std::int64_t>(i)); });
}

void append(CheckReport& report, CheckReport more) {
  report.files += more.files;
  report.ok += more.ok;
  report.test += more.test;
  report.notes.insert(report.notes.end(), std::make_move_iterator(more.notes.begin()),
                      std::make_move_iterator(more.notes.end()));
  for (auto [to, from] : {std::pair(&report.refused, &more.refused), std::pair(&report.broken, &more.broken)})
    to->insert(to->end(), std::make_move_iterator(from->begin()), std::make_move_iterator(from->end()));
}

/// Of tar archives every sample, and those archives that are damaged.
CheckReport check_shards(const std::string& directory, const CheckOptions& options) {
  CheckReport report;
  for (const auto split : {Split::kTrain, Split::kTest}) {
    if (!has_shards(directory, split)) continue;
    ShardFindings findings;
    if (const auto shards = open_whole_shards(directory, split, findings)) {
      auto checked = check_samples(*shards, options);
      if (split == Split::kTest) checked.test = checked.ok;
      append(report, std::move(checked));
      for (auto& note : shards->notes()) report.notes.push_back(std::move(note));
    }
    for (auto& [name, reason] : findings.damaged) report.broken.push_back({std::move(name), std::move(reason)});
    for (auto& name : findings.links)
      report.refused.push_back(
          {std::move(name), "a link, symbolic or to a member that does not come before it in the archive"});
    report.files += static_cast<std::int64_t>(findings.damaged.size() + findings.links.size());
  }
  if (report.files == 0) open_shards(directory, Split::kTrain);  // says what was looked for
  return report;
}

/// Of any other format (CIFAR-10, IDX) the files, which are read whole, and checked, when they are opened.
CheckReport check_files(const Format& format, const std::string& directory) {
  CheckReport report;
  for (const auto split : {Split::kTrain, Split::kTest}) {
    if (!format.has(directory, split)) continue;
    try {
      std::int64_t files = 0;
      const auto dataset = format.open(directory, split);
      dataset->for_each_file([&](std::string_view, std::uint64_t) { ++files; });
      for (auto& note : dataset->notes()) report.notes.push_back(std::move(note));
      report.files += files;
      report.ok += files;
      if (split == Split::kTest) report.test += files;
    } catch (const LimitError&) {
      throw;
    } catch (const ForbiddenFolder&) {
      throw;
    } catch (const UsageError& error) {
      ++report.files;
      report.broken.push_back({directory, error.what()});
    }
  }
  if (report.files == 0) format.open(directory, Split::kTrain);  // says what was looked for
  return report;
}

}  // namespace

CheckReport check_data(const std::string& spec, const CheckOptions& options) {
  if (options.threads < 1) throw UsageError("check with ", options.threads, " threads; use at least 1");
  const auto [format, directory] = resolve_location(spec);
  auto report = format->name == "folder"   ? check_folder(directory, options)
                : format->name == "shards" ? check_shards(directory, options)
                                           : check_files(*format, directory);
  for (auto* files : {&report.refused, &report.broken}) std::ranges::stable_sort(*files, {}, &CheckedFile::path);
  return report;
}

}  // namespace unlabel::data
