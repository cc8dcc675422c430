#pragma once

#include <unlabel/data/dataset.h>
#include <unlabel/data/io/files.h>

#include <memory>
#include <string>

namespace unlabel::data {

/// CIFAR-10 in its binary form (https://www.cs.toronto.edu/~kriz/cifar.html): records of one label byte and 3072 pixel
/// bytes, three planes of 32 x 32 a record. Training takes data_batch_*.bin in byte order of their names, testing takes
/// test_batch.bin; they lie in `directory` or in its cifar-10-batches-bin/. The classes' names are the lines of
/// batches.meta.txt, or the published ones without that file.
///
/// The files are held in memory, and their checksum is part of the fingerprint.
/// Throws UsageError when the files are missing, larger than the memory that is free,
/// their size is no multiple of a record, or a label is none of the ten.
std::shared_ptr<const Dataset> open_cifar10(const std::string& directory, Split split);

/// Whether the folder, which holds `contents`, has files named like those of any split, or the folder that the published archive makes.
bool names_cifar10(const std::string& directory, const FolderContents& contents);

/// Whether the folder holds files named like those of a split.
bool has_cifar10(const std::string& directory, Split split);

}  // namespace unlabel::data
