#pragma once

#include <unlabel/data/dataset.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace unlabel::data {

/// Images in tar archives, by WebDataset's convention (https://github.com/webdataset/webdataset): files one after another whose names are
/// equal up to the first dot of their last part belong to one sample.
///
/// - The image is the first member with the extension of an image that we decode (augment::is_image_name). In a sample that has members
///   with several dots only (photo.2021.00.jpg), each of these that ends like an image is a sample by itself, with the class of the member
///   of its name up to the last dot. A sample without any image is passed over. `.cls` holds its class, a decimal number. All other members
///   are passed over; notes() lists those that end like an image, and classes without an image. Hidden members and those in
///   folders of thumbnails and the like are passed over, as in folders of images.
/// - A hard link to an earlier member is that member by another name. Other links are not followed; notes() lists them.
/// - Training takes the archives of a folder named for training (augment::named_split) where there is one, else those in `directory`
///   itself; notes() lists what is left out, and two such folders with archives are refused. Testing takes those of the first folder
///   named for testing. Without such folders the archives' names decide: one with a word for testing in it (imagenet-val-0003.tar) is for
///   testing. They come in byte order of their names, and samples in the order of the archive.
/// - Samples are labeled when every one has a class; where only some have one, notes() says so. classes.txt beside the archives names the
///   classes, a line each, no two of them the same; without it they are called "0", "1", ... up to the largest.
///
/// Samples are read by index, in any order: opening reads the archives' headers, on several threads, and remembers where each image is. An
/// archive is opened anew for every sample, so that there may be any number of them. Names, sizes and classes in the archives are part of
/// the fingerprint. Throws UsageError for a folder without archives, and for a damaged archive.
std::shared_ptr<const Dataset> open_shards(const std::string& directory, Split split);

struct DamagedShard {
  std::string name;
  std::string reason;
};

struct ShardFindings {
  std::vector<DamagedShard> damaged;
  std::vector<std::string> links;  ///< members that are links and not followed
};

/// Like open_shards, but skips damaged archives and reports them in `findings`. Null when no other archive holds an image.
std::shared_ptr<const Dataset> open_whole_shards(const std::string& directory, Split split, ShardFindings& findings);

/// The same from its Dataset::file_index(), as open_indexed does.
std::shared_ptr<const Dataset> open_indexed_shards(const std::string& directory, const std::string& index);

/// Test images that are named apart from the training ones: the test split where there is one, else all archives in the folder itself; not
/// those of a folder named for training in it (UsageError).
std::shared_ptr<const Dataset> open_test_shards(const std::string& directory);

/// Whether the folder holds archives of a split.
bool has_shards(const std::string& directory, Split split);

struct PackOptions {
  std::uint64_t shard_bytes = std::uint64_t{1} << 30;  ///< the size that archives do not exceed, unless by one sample
  bool shuffle = true;     ///< in the order of a keyed permutation, for readers that read archives sequentially
  std::uint64_t seed = 0;  ///< of that permutation
};

/// Writes a data set as archives `directory`/PREFIX-000000.tar ... for open_shards and WebDataset: a sample has
/// 00000012.jpg (the file as it is; pixels become PNG), 00000012.json (its name in the data set) and, when there are
/// labels, 00000012.cls. The same data set gives the same
/// bytes. With labels, classes.txt too. Returns the paths. Throws Error when something cannot be read or written; archives that were
/// finished stay. Throws UsageError, before anything is written, for a class whose name would not come back from a line of classes.txt.
std::vector<std::string> write_shards(const Dataset& dataset, const std::string& directory, const std::string& prefix,
                                      const PackOptions& options = {});

}  // namespace unlabel::data
