#pragma once

#include <unlabel/augment/error.h>

#include <ATen/core/Tensor.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace unlabel::ssl {

/// A collective failed because another rank ended or cannot be reached. No further collective is possible.
class LostRankError : public Error {
 public:
  using Error::Error;
};

/// The collectives of the ranks that train together. This base class is the group of one process, in which every collective is the
/// identity, so that methods and layers need no `if (distributed)`. `launch` implements groups of several processes with NCCL and Gloo.
///
/// Every rank must make the same calls in the same order, with tensors of the same shape and type.
/// A collective throws LostRankError if another rank is gone, and Error for other failures.
class Group {
 public:
  virtual ~Group() = default;

  virtual int rank() const { return 0; }
  virtual int world_size() const { return 1; }
  /// The device on which the tensors of its collectives must be.
  virtual at::Device device() const { return at::kCPU; }

  /// Replaces `tensor`, in place, by the element-wise sum (or maximum) over all ranks. `tensor` must be contiguous. No gradient flows
  /// through.
  virtual void all_reduce_sum(at::Tensor& tensor) const;
  virtual void all_reduce_max(at::Tensor& tensor) const;

  /// Overwrites `tensor` on every rank with that of rank `root`.
  virtual void broadcast(at::Tensor& tensor, int root = 0) const;

  /// Concatenates the ranks' tensors along dimension 0 in rank order: n x ... on each rank, with the same n, becomes (n * world_size) x ...
  /// on all. No gradient flows through.
  virtual at::Tensor all_gather(const at::Tensor& tensor) const;

  /// Returns when every rank has called it.
  virtual void barrier() const;

  /// A group of the same ranks whose collectives take tensors in host memory, for data of the host (run_on_all_ranks, gather_texts), so
  /// that the host does not wait for the GPU. By default this group itself.
  virtual const Group& cpu_group() const { return *this; }

  /// The group of `size` consecutive ranks ({0 ... size-1}, {size ... 2 size-1}, ...) that contains this rank. `size` 0 or world_size():
  /// all ranks. All ranks must call it. Throws UsageError if `size` does not divide the world size.
  virtual std::shared_ptr<const Group> subgroup(int size) const;
};

/// The group of one.
std::shared_ptr<const Group> single_process();

/// Runs `action`, which must make no collective, on every rank. If it threw on any rank, then all ranks throw, so that no rank waits in the
/// next collective for one that failed. The message is that of the lowest rank that failed, with "rank 3: " in front unless that is rank 0.
/// The type is that rank's if it is UsageError, MismatchError or IoError, else Error. In a group of one the original exception is rethrown.
void run_on_all_ranks(const Group& group, const std::function<void()>& action);

/// The same for an action that may take longer than the time limit of collectives, such as a flush to a slow disk. The action runs on a
/// separate thread; meanwhile all ranks make a collective every `keepalive`, which must be well below the time limit.
void run_long_on_all_ranks(const Group& group, std::chrono::milliseconds keepalive,
                           const std::function<void()>& action);

/// True on all ranks if `here` is true on any. Collective: every rank must call it.
bool all_reduce_any(const Group& group, bool here);

/// The texts of all ranks, in rank order, on every rank. Collective: every rank must call it.
std::vector<std::string> gather_texts(const Group& group, const std::string& text);

}  // namespace unlabel::ssl
