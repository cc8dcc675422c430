#pragma once

#include <unlabel/data/dataset.h>

#include <memory>
#include <string>
#include <vector>

namespace unlabel::data {

/// All images in a folder and the folders below it, in the order of their relative paths, byte by byte.
///
/// - An image is a regular file with the extension jpg, jpeg, png, webp, bmp, tif, tiff, ppm, pgm, pbm or pnm, in any
///   case. Everything else is ignored, and so is a file or folder whose name begins with a dot.
/// - Links are followed, but not into a folder that they are inside of. A link to nowhere with an image's name counts
///   as an image, which then cannot be read.
/// - The images are labelled when every one of them lies in (or anywhere below) one of at least two first-level
///   folders: those with images are the classes, numbered in byte order of their names. Otherwise none is labelled:
///   an image at the top, or one folder only, says that the folders are no classes.
///
/// The listing of a tree of 20,000 images or more is kept for the next start (listing_cache.h); it does not tell a file
/// that was written anew in its place, unless it is the first of its folder.
///
/// Files are read relative to the opened folder, so that it may be renamed meanwhile. A file above 1 GiB is refused
/// when it is read. Throws UsageError for a folder that is missing, unreadable (it or one below) or without images.
///
/// Folders directly below `directory` that `left_out` names are passed over, as if they were not there.
std::shared_ptr<const Dataset> open_image_folder(const std::string& directory,
                                                 const std::vector<std::string>& left_out = {},
                                                 Listing listing = Listing::kKept);

/// Whether the folder holds an image at any depth, outside of folders `left_out` below it; ends at the first one.
bool contains_image(const std::string& directory, const std::vector<std::string>& left_out = {});

}  // namespace unlabel::data
