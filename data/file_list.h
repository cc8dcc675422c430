#pragma once

#include <unlabel/data/dataset.h>

#include <string>

namespace unlabel::data {

/// Writes the names and sizes of a data set's files (gzip of "SIZE NAME\0" each), so that later it can be said what has
/// changed. Atomic. Throws Error when it cannot be written.
void write_file_list(const std::string& path, const Dataset& dataset);

/// What has changed since write_file_list: "2 files are gone (cat/1.jpg ...), 1 is new (cat/9.jpg), 1 has another size
/// (dog/3.jpg: 2105 bytes, it had 2100)". "no name and no size, but what the files hold" when nothing has: the list does not hold more.
/// Throws Error when the list cannot be read.
std::string changes_since(const std::string& path, const Dataset& dataset);

}  // namespace unlabel::data
