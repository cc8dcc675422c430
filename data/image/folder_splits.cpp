#include <unlabel/data/image/folder_splits.h>
#include <unlabel/data/image/image_folder.h>
#include <unlabel/data/io/files.h>

#include <algorithm>

namespace unlabel::data {

namespace {

/// Whether every image of the folder is in a folder in it, as those of classes are.
bool has_class_folders(const std::string& directory) {
  return !list_folder(directory).images && contains_image(directory);
}

std::string joined_notes(const std::vector<std::string>& notes) {
  std::string text;
  for (const auto& note : notes) text += "; " + note;
  return text;
}

std::vector<std::string> train_notes(const FolderSplits& splits) {
  auto notes = splits.layout.notes;
  notes.insert(notes.end(), splits.forbidden.begin(), splits.forbidden.end());
  // When the folder itself is walked, the notes of the walk have them.
  if (!splits.layout.train.empty()) notes.insert(notes.end(), splits.unmounted.begin(), splits.unmounted.end());
  return notes;
}

std::shared_ptr<const Dataset> open_train_folder(const std::string& directory) {
  const auto splits = splits_of(directory);
  const auto& layout = splits.layout;
  if (!layout.refusal.empty()) throw NoImages(layout.refusal);
  return open_image_folder(directory, layout.train, layout.train.empty() ? layout.left_out : std::vector<std::string>(),
                           train_notes(splits));
}

std::shared_ptr<const Dataset> open_test_split(const std::string& directory, const FolderSplits& splits) {
  const auto& [layout, test, choice, forbidden, unmounted] = splits;
  if (test.empty())
    throw UsageError(directory, " has no test images: looked for test/, val/, validation/ and their like, CIFAR-10's ",
                     "test_batch.bin and IDX's t10k-images-idx3-ubyte; add one, or name the folder of the test images ",
                     "(--test, for measuring)", joined_notes(forbidden), joined_notes(unmounted));
  auto notes = forbidden;
  notes.insert(notes.end(), unmounted.begin(), unmounted.end());
  if (!choice.empty()) notes.push_back(choice);
  return open_image_folder(directory, test, {}, std::move(notes), Split::kTest);
}

}  // namespace

FolderSplits splits_of(const std::string& directory) {
  const auto contents = list_folder(directory);
  FolderSplits splits;
  const auto or_nothing = [&](const auto& look) {
    return [&, look](const std::string& name) -> decltype(look(name)) {
      try {
        return look(directory + "/" + name);
      } catch (const ForbiddenFolder&) {
        auto note = concat(name, "/ of ", directory,
                           " may not be read, in part or as a whole, and counts as a folder without images");
        if (std::ranges::find(splits.forbidden, note) == splits.forbidden.end())
          splits.forbidden.push_back(std::move(note));
        return {};
      }
    };
  };
  auto& tests = splits.layout.tests;
  splits.layout =
      augment::folder_layout(directory, contents.folders, contents.images,
                             {or_nothing([](const std::string& path) { return contains_image(path); }),
                              or_nothing([](const std::string& path) { return list_folder(path).folders; })});
  for (const auto& name : contents.nowhere)
    if (augment::named_split(name) != augment::NamedSplit::kNone)
      splits.unmounted.push_back(concat(name, " of ", directory, " is a link to nowhere: is its disk not mounted?"));
  if (!splits.layout.refusal.empty())
    splits.layout.refusal += joined_notes(splits.forbidden) + joined_notes(splits.unmounted);
  if (tests.empty()) return splits;
  splits.test = tests.front();
  if (tests.size() == 1) return splits;
  // ImageNet's test/ has no labels, and its val/ has.
  auto chosen = std::ranges::find_if(tests, or_nothing(has_class_folders));
  const bool labeled = chosen != tests.end();
  if (!labeled) chosen = std::ranges::find_if(tests, or_nothing(contains_image));
  if (chosen != tests.end()) splits.test = *chosen;
  std::string others;
  for (const auto& name : tests)
    if (name != splits.test) others += concat(others.empty() ? "" : ", ", name, "/");
  splits.test_choice = concat("of ", directory, " ", splits.test, "/ is taken for the test images and not ", others,
                              splits.test == tests.front() ? ""
                              : labeled                    ? ": the first with class folders"
                                                           : ": the first with images");
  return splits;
}

std::shared_ptr<const Dataset> open_folder_split(const std::string& directory, Split split) {
  return split == Split::kTrain ? open_train_folder(directory) : open_test_split(directory, splits_of(directory));
}

bool has_folder_split(const std::string& directory, Split split) {
  return split == Split::kTrain || !splits_of(directory).test.empty();
}

std::shared_ptr<const Dataset> open_test_folder(const std::string& directory) {
  const auto splits = splits_of(directory);
  const auto& layout = splits.layout;
  if (!splits.test.empty()) return open_test_split(directory, splits);
  if (!layout.refusal.empty()) throw UsageError(layout.refusal);
  if (!layout.train.empty())
    throw UsageError(directory, " has ", layout.train,
                     "/ but no test/ or val/ inside; name the folder of the test images");
  return open_image_folder(directory, "", {}, train_notes(splits), Split::kTest);
}

}  // namespace unlabel::data
