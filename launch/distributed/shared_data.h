#pragma once

#include <unlabel/data/dataset.h>
#include <unlabel/ssl/group.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace unlabel::launch {

/// How often ranks that wait for one of them, and give up after `timeout_seconds`, hear that it is at work.
std::chrono::milliseconds heartbeat(int timeout_seconds);

/// Runs on rank 0 what the other ranks then need not do: all must call it together. However long it takes, none of them waits for more than
/// a quarter of `timeout_seconds` without hearing of it. What it throws, all throw.
void run_on_first_rank(const ssl::Group& group, int timeout_seconds, const std::function<void()>& action);

/// What `read` returns on rank 0, on all ranks, in the same way.
std::string of_first_rank(const ssl::Group& group, int timeout_seconds, const std::function<std::string()>& read);

/// Opens a data set on all ranks, which must call it together: rank 0 lists it, the others get its list and look at a sample of the files
/// (data::open_indexed), so that a disk that they share is listed once. IDX and CIFAR-10, which are read whole, every rank opens by itself.
/// `open` opens what is at `spec`, by default open_dataset. Throws, on all ranks alike, as `open` does, and MismatchError (93) for a rank
/// whose images are others.
std::shared_ptr<const data::Dataset> open_on_all_ranks(
    const std::string& spec, const std::function<std::shared_ptr<const data::Dataset>()>& open, const ssl::Group& group,
    int timeout_seconds);
std::shared_ptr<const data::Dataset> open_on_all_ranks(const std::string& spec, data::Split split,
                                                       const ssl::Group& group, int timeout_seconds);

/// The median short side of the images (data::sample_image_sizes), on all ranks; rank 0 alone reads headers.
int median_short_side_on_all_ranks(const data::Dataset& dataset, const ssl::Group& group, int timeout_seconds);

}  // namespace unlabel::launch
