#pragma once

#include <unlabel/data/dataset.h>
#include <unlabel/data/io/files.h>

#include <memory>
#include <string>

namespace unlabel::data {

/// MNIST, Fashion-MNIST and their like in IDX files (http://yann.lecun.com/exdb/mnist): big-endian counts, then bytes.
///
/// Training takes the images `train-images-idx3-ubyte` and the labels `train-labels-idx1-ubyte`; testing takes `t10k-`
/// or `test-` for `train-`. The name may have a dot for the second dash (`train-images.idx3-ubyte`), something before
/// it (`emnist-letters-train-...`) and `.gz` after it; of the same file plain and compressed, the plain one is taken.
/// Without a file of labels there are none. An image becomes CV_8UC1. The classes are named "0", "1", ... up to the
/// largest label.
///
/// A header is not trusted: it is checked against the file's size and the free memory before memory is allocated, a compressed
/// file is read up to the header's count and must end there, one that claims more than 64 MiB and 100 times its size is refused, and
/// dimensions are in [1, 65535]. The checksum of what the files hold is part of the fingerprint. Throws UsageError that names the file.
std::shared_ptr<const Dataset> open_idx(const std::string& directory, Split split);

/// Whether these files are named like those of any split.
bool names_idx(const FolderContents& contents);

/// Whether the folder holds a file of images named like that of a split.
bool has_idx(const std::string& directory, Split split);

}  // namespace unlabel::data
