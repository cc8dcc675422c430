#pragma once

#include <unlabel/data/dataset.h>
#include <unlabel/launch/pretrain_options.h>
#include <unlabel/ssl/group.h>

#include <memory>
#include <string>

namespace unlabel::launch {

/// Opens a data set on all ranks, which must call it together: rank 0 lists it, the others get its list and look at a sample of the files
/// (data::open_indexed), so that a disk that they share is listed once. IDX and CIFAR-10, which are read whole, every rank opens by itself.
/// However long the listing takes, no rank waits for more than a quarter of `timeout_seconds` without hearing of it. Throws, on all ranks
/// alike, as open_dataset does, and MismatchError for a rank whose files are others.
std::shared_ptr<const data::Dataset> open_on_all_ranks(const std::string& spec, data::Split split,
                                                       const ssl::Group& group, int timeout_seconds);

/// The training images of `options.data` on all ranks; rank 0 alone reads headers for their sizes.
OpenedData open_data_on_all_ranks(const PretrainOptions& options, const ssl::Group& group);

}  // namespace unlabel::launch
