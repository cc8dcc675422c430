#include <unlabel/augment/codec/image_files.h>
#include <unlabel/augment/error.h>

#include <algorithm>
#include <array>
#include <utility>

namespace unlabel::augment {

namespace {

constexpr std::array<std::string_view, 8> kCompressed{".tar.gz",  ".tgz", ".tar.xz", ".tar.bz2",
                                                      ".tar.zst", ".zip", ".7z",     ".rar"};
constexpr std::array<std::string_view, 14> kExtensions{"jpg", "jpeg", "jpe",  "jif", "jfif", "png", "webp",
                                                       "bmp", "tif",  "tiff", "ppm", "pgm",  "pbm", "pnm"};
constexpr std::array<std::string_view, 39> kForeignExtensions{
    "heic", "heif", "hif", "avif", "gif", "jp2", "j2k", "jpx", "jpf", "jpc", "jxl",  "jxr", "svg",
    "svgz", "apng", "ico", "tga",  "dds", "exr", "hdr", "psd", "pcx", "xpm", "dcm",  "dng", "cr2",
    "cr3",  "nef",  "nrw", "arw",  "orf", "rw2", "raf", "pef", "srw", "x3f", "fits", "bpg", "qoi"};
constexpr std::array<std::string_view, 9> kSystemFolders{
    "@eadir",     "#recycle",           "#snapshot",
    "@recycle",   "@recently-snapshot", "$recycle.bin",
    "lost+found", "__macosx",           "system volume information"};
constexpr std::array<std::string_view, 3> kTrainWords{"train", "training", "trainval"};
constexpr std::array<std::string_view, 11> kTestWords{
    "test", "testing", "val", "validation", "valid", "validate", "dev", "eval", "evaluation", "evaluate", "holdout"};
/// Words that a folder's name may have beside that of a split.
constexpr std::array<std::string_view, 11> kFillers{"set",  "sets", "split",  "data",     "images", "image",
                                                    "imgs", "img",  "photos", "pictures", "dataset"};

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

std::string lower(std::string_view text) {
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](char c) { return lower(c); });
  return result;
}

template <class List>
bool holds(const List& list, std::string_view word) {
  return std::ranges::find(list, word) != std::ranges::end(list);
}

template <class List>
bool ends_with_extension(const List& extensions, std::string_view name) {
  const auto dot = name.rfind('.');
  return dot != std::string_view::npos && holds(extensions, lower(name.substr(dot + 1)));
}

/// A word without "set", "images" ... at its end, when a split's word is left: "testset".
std::string_view without_filler(std::string_view word) {
  for (const auto filler : kFillers) {
    if (!word.ends_with(filler)) continue;
    const auto rest = word.substr(0, word.size() - filler.size());
    if (holds(kTrainWords, rest) || holds(kTestWords, rest)) return rest;
  }
  return word;
}

/// "a/, b/ and 3 more"
std::string listed(const std::vector<std::string>& folders) {
  constexpr std::size_t kMost = 3;
  std::string text;
  const auto shown = folders.size() <= kMost ? folders.size() : kMost - 1;
  for (std::size_t i = 0; i < shown; ++i)
    text += concat(i == 0 ? "" : i + 1 == folders.size() ? " and " : ", ", folders[i], "/");
  return shown == folders.size() ? text : concat(text, " and ", folders.size() - shown, " more");
}

const char* is_or_are(const std::vector<std::string>& folders) { return folders.size() == 1 ? "is" : "are"; }

}  // namespace

std::span<const std::string_view> image_extensions() { return kExtensions; }

std::string image_extension_list() {
  std::string text;
  for (const auto extension : kExtensions) text.append(text.empty() ? "." : " .").append(extension);
  return text;
}

bool is_image_name(std::string_view name) { return ends_with_extension(kExtensions, name); }
bool is_foreign_image_name(std::string_view name) { return ends_with_extension(kForeignExtensions, name); }

Packed packed_as(std::string_view name) {
  const auto small = lower(name);
  const auto ends = [&](std::string_view ending) { return small.ends_with(ending); };
  return ends(".tar") ? Packed::kTar : std::ranges::any_of(kCompressed, ends) ? Packed::kCompressed : Packed::kNo;
}

std::span<const std::string_view> compressed_endings() { return kCompressed; }

bool is_system_folder(std::string_view name) { return holds(kSystemFolders, lower(name)); }

std::vector<std::string> words_of(std::string_view name) {
  const auto is_capital = [](char c) { return c >= 'A' && c <= 'Z'; };
  const auto is_small = [](char c) { return c >= 'a' && c <= 'z'; };
  std::vector<std::string> words;
  char before = ' ';
  for (const char c : name) {
    if (is_capital(c) || is_small(c)) {
      const bool begins = !(is_capital(before) || is_small(before)) || (is_small(before) && is_capital(c));
      if (begins) words.emplace_back();
      words.back() += lower(c);
    }
    before = c;
  }
  return words;
}

NamedSplit named_split(std::string_view folder) {
  // Names with other letters are not recognized, as only a part of them would be compared.
  if (std::ranges::any_of(folder, [](char c) { return static_cast<unsigned char>(c) >= 0x80; }))
    return NamedSplit::kNone;
  auto split = NamedSplit::kNone;
  for (const auto& word : words_of(folder)) {
    const auto bare = without_filler(word);
    const auto named = holds(kTrainWords, bare)  ? NamedSplit::kTrain
                       : holds(kTestWords, bare) ? NamedSplit::kTest
                                                 : NamedSplit::kNone;
    if (named == NamedSplit::kNone && !holds(kFillers, bare)) return NamedSplit::kNone;
    if (named == NamedSplit::kNone) continue;
    if (split != NamedSplit::kNone && split != named) return NamedSplit::kNone;
    split = named;
  }
  return split;
}

int test_name_rank(std::string_view folder) {
  for (const auto& word : words_of(folder)) {
    const auto found = std::ranges::find(kTestWords, without_filler(word));
    if (found != kTestWords.end()) return static_cast<int>(found - kTestWords.begin());
  }
  return static_cast<int>(kTestWords.size());
}

bool has_test_word(std::string_view name) {
  return std::ranges::any_of(words_of(name),
                             [](const std::string& word) { return holds(kTestWords, without_filler(word)); });
}

FolderLayout folder_layout(const std::string& directory, const std::vector<std::string>& folders, bool images_beside,
                           const FolderProbe& probe) {
  FolderLayout layout;
  std::vector<std::string> trains, others;
  for (const auto& folder : folders) {
    const auto split = named_split(folder);
    (split == NamedSplit::kTrain ? trains : split == NamedSplit::kTest ? layout.tests : others).push_back(folder);
  }
  std::ranges::stable_sort(layout.tests, {}, test_name_rank);
  const auto with_images = [&](std::vector<std::string> from) {
    std::erase_if(from, [&](const auto& folder) { return !probe.holds_images(folder); });
    return from;
  };

  if (trains.empty()) {
    layout.left_out = layout.tests;
    if (layout.tests.empty()) return layout;
    if (!images_beside && with_images(others).empty()) {
      layout.refusal = concat(directory, " has ", layout.tests.front(), "/ but no train/, and no images beside it; ",
                              "name the training images with --train or, to pretrain, with --data");
    } else {
      layout.notes.push_back(concat(listed(layout.tests), " of ", directory, " ", is_or_are(layout.tests),
                                    " left out of the training images: named as test images"));
    }
    return layout;
  }

  auto beside = with_images(others);
  if (layout.tests.empty() && !beside.empty()) {
    // A split has the same classes as the training images.
    std::vector<std::string> classes;
    for (const auto& train : trains)
      for (auto& name : probe.folders_in(train)) classes.push_back(std::move(name));
    std::vector<std::string> splits;
    if (!classes.empty())
      for (const auto& folder : beside)
        if (std::ranges::any_of(probe.folders_in(folder), [&](const auto& name) { return holds(classes, name); }))
          splits.push_back(folder);
    if (splits.empty()) {
      layout.notes.push_back(concat(
          listed(trains), " of ", directory, " ", is_or_are(trains), " taken for a class: ", listed(beside),
          " beside it ", beside.size() == 1 ? "holds" : "hold", " images, and no folder is named as test images"));
      return layout;
    }
  }

  auto filled = with_images(trains);
  if (filled.size() > 1) {
    layout.refusal = concat(directory, " has several folders of training images, ", listed(filled),
                            "; name the one that is meant: ", directory, "/", filled.front());
    return layout;
  }
  layout.train = filled.empty() ? trains.front() : filled.front();
  layout.left_out = folders;
  std::erase(layout.left_out, layout.train);
  if (!beside.empty() || images_beside)
    layout.notes.push_back(
        concat("of ", directory, " ", layout.train, "/ is taken for the training images; left out ",
               !beside.empty() ? is_or_are(beside) : "are", " ", beside.empty() ? "" : listed(beside),
               beside.empty() || !images_beside ? "" : ", and ", images_beside ? "the images beside it" : ""));
  return layout;
}

NestedSplit nested_split(const std::vector<std::string>& folders) {
  std::vector<std::string> trains, tests;
  for (const auto& folder : folders) {
    const auto split = named_split(folder);
    if (split == NamedSplit::kTrain) trains.push_back(folder);
    if (split == NamedSplit::kTest) tests.push_back(folder);
  }
  if (trains.empty() || tests.empty()) return {.taken = folders, .left_out = false, .tests = std::move(tests)};
  return {.taken = std::move(trains), .left_out = true, .tests = {}};
}

}  // namespace unlabel::augment
