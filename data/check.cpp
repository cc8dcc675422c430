#include <unlabel/augment/error.h>
#include <unlabel/augment/image_header.h>
#include <unlabel/data/check.h>
#include <unlabel/data/cifar10.h>
#include <unlabel/data/dataset.h>
#include <unlabel/data/files.h>
#include <unlabel/data/folder_walk.h>
#include <unlabel/data/idx.h>
#include <unlabel/data/parallel_for.h>
#include <unlabel/data/place.h>
#include <unlabel/data/shards.h>

#include <algorithm>
#include <iterator>
#include <mutex>
#include <string_view>
#include <utility>

namespace unlabel::data {

namespace {

enum class Verdict { kOk, kRefused, kBroken };

struct Outcome {
  Verdict verdict = Verdict::kOk;
  std::string reason;
};

/// What reading and decoding came to. A mistake in the options is thrown on.
template <class Action>
Outcome outcome_of(const Action& action) {
  try {
    action();
    return {};
  } catch (const UsageError&) {
    throw;
  } catch (const augment::RefusedImage& error) {
    return {Verdict::kRefused, error.what()};
  } catch (const Error& error) {
    return {Verdict::kBroken, error.what()};
  }
}

Outcome check_file(const FolderWalk& walk, const FolderWalk::Entry& entry, const augment::DecodeOptions& options,
                   std::vector<std::uint8_t>& bytes) {
  const char* path = walk.paths.data() + entry.offset;
  const bool named_image = is_image_name(path);
  if (entry.size > kMaxFileBytes) return {Verdict::kRefused, concat(entry.size, " bytes")};
  if (entry.size == 0 && !named_image) return {Verdict::kRefused, "no image: it is empty"};
  auto outcome = outcome_of([&] {
    read_file(walk.root_fd.get(), path, path, kMaxFileBytes, bytes);
    augment::decode(bytes, options);
  });
  // A file that calls itself an image and is none that anybody knows is a broken one.
  if (outcome.verdict == Verdict::kRefused && named_image &&
      augment::image_format(bytes) == augment::ImageFormat::kUnknown)
    outcome.verdict = Verdict::kBroken;
  return outcome;
}

/// Judges `count` items on several threads. `judge(i, scratch)` gives the outcome of one, with memory of the thread's to
/// use; `name(i)` its path.
template <class Judge, class Name>
CheckReport check_all(std::size_t count, int thread_count, const Judge& judge, const Name& name) {
  CheckReport report;
  report.files = static_cast<std::int64_t>(count);
  std::vector<std::pair<std::size_t, Outcome>> bad;
  std::mutex mutex;  // guards bad
  parallel_for(count, static_cast<std::size_t>(thread_count), [&] {
    return [&, scratch = augment::Source()](std::size_t i) mutable {
      auto outcome = judge(i, scratch);
      if (outcome.verdict == Verdict::kOk) return;
      const std::lock_guard lock(mutex);
      bad.emplace_back(i, std::move(outcome));
    };
  });

  report.ok = report.files - static_cast<std::int64_t>(bad.size());
  std::ranges::sort(bad, {}, [](const auto& item) { return item.first; });
  for (auto& [i, outcome] : bad)
    (outcome.verdict == Verdict::kBroken ? report.broken : report.refused)
        .push_back({name(i), std::move(outcome.reason)});
  return report;
}

CheckReport check_folder(const std::string& directory, const CheckOptions& options) {
  FolderWalk walk(directory, {.images_only = false, .hidden_too = true});
  auto& entries = walk.entries;
  std::ranges::sort(entries, {}, [&](const auto& entry) { return std::string_view(walk.paths.data() + entry.offset); });
  return check_all(
      entries.size(), options.threads,
      [&](std::size_t i, augment::Source& scratch) {
        return check_file(walk, entries[i], options.decode, scratch.bytes);
      },
      [&](std::size_t i) { return std::string(walk.paths.data() + entries[i].offset); });
}

/// Decodes every sample of a data set whose files hold many.
CheckReport check_samples(const Dataset& dataset, const CheckOptions& options) {
  return check_all(
      static_cast<std::size_t>(dataset.size()), options.threads,
      [&](std::size_t i, augment::Source& scratch) {
        return outcome_of([&] {
          dataset.read(static_cast<std::int64_t>(i), scratch);
          augment::decode(scratch, options.decode);
        });
      },
      [&](std::size_t i) { return dataset.name(static_cast<std::int64_t>(i)); });
}

void append(CheckReport& report, CheckReport more) {
  report.files += more.files;
  report.ok += more.ok;
  for (auto [to, from] : {std::pair(&report.refused, &more.refused), std::pair(&report.broken, &more.broken)})
    to->insert(to->end(), std::make_move_iterator(from->begin()), std::make_move_iterator(from->end()));
}

}  // namespace

CheckReport check_data(const std::string& spec, const CheckOptions& options) {
  if (options.threads < 1) throw UsageError("check with ", options.threads, " threads; use at least 1");
  const auto [kind, directory] = resolve_place(spec);
  if (kind == "folder") return check_folder(directory, options);
  CheckReport report;
  if (kind == "shards") {
    for (const auto split : {Split::kTrain, Split::kTest}) {
      if (!has_shards(directory, split)) continue;
      std::vector<DamagedShard> damaged;
      if (const auto shards = open_whole_shards(directory, split, damaged))
        append(report, check_samples(*shards, options));
      for (auto& [name, reason] : damaged) report.broken.push_back({std::move(name), std::move(reason)});
      report.files += static_cast<std::int64_t>(damaged.size());
    }
    if (report.files == 0) open_shards(directory, Split::kTrain);  // says what was looked for
    return report;
  }
  // These are read whole, and checked, when they are opened.
  for (const auto split : {Split::kTrain, Split::kTest}) {
    if (!(kind == "idx" ? has_idx : has_cifar10)(directory, split)) continue;
    try {
      open_dataset(spec, split)->each_file([&](std::string_view, std::uint64_t) { ++report.files; });
    } catch (const UsageError& error) {
      ++report.files;
      report.broken.push_back({directory, error.what()});
    }
  }
  report.ok = report.files - static_cast<std::int64_t>(report.broken.size());
  return report;
}

}  // namespace unlabel::data
