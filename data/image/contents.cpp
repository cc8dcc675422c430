#include <unlabel/augment/codec/image_files.h>
#include <unlabel/augment/error.h>
#include <unlabel/data/image/contents.h>
#include <unlabel/data/image/folder_walk.h>

#include <algorithm>
#include <array>
#include <initializer_list>
#include <map>

namespace unlabel::data {

namespace {

/// Files of other tools and other layouts, by their names.
struct Kind {
  const char *one, *several;
  const char* advice;  ///< after a colon
  std::vector<std::string_view> names;
  std::vector<std::string_view> endings;
};

const std::vector<Kind>& kinds() {
  static const std::vector<Kind> all{
      {"tar archive", "tar archives", "shards:DIR reads them", {}, {".tar"}},
      {"compressed archive",
       "compressed archives",
       "unpack them first",
       {},
       {augment::compressed_endings().begin(), augment::compressed_endings().end()}},
      {"binary file of STL-10",
       "binary files of STL-10",
       "they are not read; save their images as PNG",
       {"train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin", "unlabeled_X.bin"},
       {}},
      {"file of CIFAR for Python",
       "files of CIFAR for Python",
       "they are not read; fetch cifar-10-binary.tar.gz",
       {"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch", "batches.meta",
        "train", "test", "meta"},
       {}},
      {"binary file of CIFAR-100",
       "binary files of CIFAR-100",
       "they are not read; save their images as PNG",
       {"train.bin", "test.bin", "fine_label_names.txt", "coarse_label_names.txt"},
       {}},
      {"table or list",
       "tables and lists",
       "lists are not read; give the folder that holds the images",
       {},
       {".csv", ".tsv", ".jsonl", ".json", ".txt", ".lst"}},
      {"file of another data format",
       "files of other data formats",
       "they are not read; save their images as files, or as tar archives by WebDataset's convention",
       {"data.mdb"},
       {".parquet", ".arrow", ".tfrecord", ".tfrecords", ".h5", ".hdf5", ".npz", ".npy", ".mat", ".lmdb", ".rec",
        ".beton", ".pkl", ".pickle", ".pt", ".pth"}},
  };
  return all;
}

bool is_of(const Kind& kind, std::string_view name) {
  std::string lower(name);
  std::ranges::transform(lower, lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; });
  return std::ranges::find(kind.names, name) != kind.names.end() ||
         std::ranges::any_of(kind.endings, [&](auto ending) { return lower.ends_with(ending); });
}

}  // namespace

std::string describe_contents(const std::string& directory) {
  const FolderWalk walk(directory, {.all = true});
  std::vector<Examples> found(kinds().size());
  std::map<Belongs, Examples> by_belongs;
  Examples unnamed;
  std::size_t opened = 0;
  for (const auto& entry : walk.entries) {
    const std::string_view path = walk.path(entry);
    if (entry.belongs != Belongs::kOtherName) {
      by_belongs[entry.belongs].add(path);
      continue;
    }
    const auto kind =
        std::ranges::find_if(kinds(), [&](const Kind& k) { return is_of(k, path.substr(path.rfind('/') + 1)); });
    if (kind != kinds().end())
      found[static_cast<std::size_t>(kind - kinds().begin())].add(path);
    else if (unnamed.count == 0 && opened++ < kMostUnnamed &&
             !content_format(walk.root_fd.get(), walk.path(entry)).name.empty())
      unnamed.add(path);
    else
      by_belongs[Belongs::kOtherName].add(path);
  }
  std::string text;
  const auto tell = [&](const Examples& files, const char* one, const char* several, const char* advice) {
    if (files.count == 0) return;
    const char* begin = !text.empty() ? ", " : files.count == 1 ? "there is " : "there are ";
    text += concat(begin, files.text(one, several), *advice ? ": " : "", advice);
  };
  for (std::size_t i = 0; i < found.size(); ++i) tell(found[i], kinds()[i].one, kinds()[i].several, kinds()[i].advice);
  tell(by_belongs[Belongs::kYes], "image", "images", "");
  tell(by_belongs[Belongs::kForeignImage], "image in a format that is not read", "images in formats that are not read",
       "convert them to JPEG or PNG");
  tell(unnamed, "image by its content", "images by their content", "name such files .jpg, .png ...");
  tell(by_belongs[Belongs::kLeftOut], "file in folders that are left out", "files in folders that are left out", "");
  tell(by_belongs[Belongs::kNowhere], "link to nowhere", "links to nowhere", "");
  tell(by_belongs[Belongs::kForbidden], "folder that may not be read", "folders that may not be read", "");
  tell(by_belongs[Belongs::kHidden], "hidden file", "hidden files", "");
  tell(by_belongs[Belongs::kSystem], "file of thumbnails or deleted ones", "files of thumbnails or deleted ones", "");
  tell(by_belongs[Belongs::kOtherName], "other file", "other files", "");
  if (text.empty()) text = "it is empty";
  return concat(
      text, ". Taken are folders of images (", augment::image_extension_list(),
      "), CIFAR-10's data_batch_1.bin ..., IDX files (train-images-idx3-ubyte) and, as shards:DIR, tar archives");
}

}  // namespace unlabel::data
