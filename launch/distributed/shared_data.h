#pragma once

#include <unlabel/data/dataset.h>
#include <unlabel/ssl/group.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>

namespace unlabel::launch {

/// The interval at which a rank that works alone signals the waiting ranks, which give up after `timeout_seconds`: a quarter of that.
std::chrono::milliseconds heartbeat(int timeout_seconds);

/// Runs `action` on rank 0 while the other ranks wait. Collective: all ranks must call it. The action may take longer than
/// `timeout_seconds`, because rank 0 signals every heartbeat() that it is still working. If it throws, all ranks throw.
void run_on_rank0(const ssl::Group& group, int timeout_seconds, const std::function<void()>& action);

/// Calls `read` on rank 0, in the same way, and returns its result on all ranks.
std::string broadcast_from_rank0(const ssl::Group& group, int timeout_seconds,
                                 const std::function<std::string()>& read);

/// Opens a data set on all ranks; collective. Rank 0 lists the files; the others receive its list and check a sample of the files
/// (data::open_indexed), so that a shared disk is listed only once. IDX and CIFAR-10 files are read completely, by every rank.
/// `open` opens the data set at `spec`; the second overload uses open_dataset. Throws, on all ranks, what `open` throws, and MismatchError
/// (exit code 93) when the data differ on a rank.
std::shared_ptr<const data::Dataset> open_on_all_ranks(
    const std::string& spec, const std::function<std::shared_ptr<const data::Dataset>()>& open, const ssl::Group& group,
    int timeout_seconds);
std::shared_ptr<const data::Dataset> open_on_all_ranks(const std::string& spec, data::Split split,
                                                       const ssl::Group& group, int timeout_seconds);

/// The median short side of the images in pixels (data::sample_image_sizes), on all ranks; only rank 0 reads image headers. Collective.
int median_short_side_on_all_ranks(const data::Dataset& dataset, const ssl::Group& group, int timeout_seconds);

}  // namespace unlabel::launch
