#pragma once

#include <unlabel/augment/error.h>

#include <ATen/core/Tensor.h>

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace unlabel::ssl {

/// A collective that failed because a peer is gone: no further one can be made.
class LostRankError : public Error {
 public:
  using Error::Error;
};

/// The ranks that train together, as far as a method or a layer needs them. A group of one needs no process group, so that code has no
/// `if (distributed)`: every collective is then the identity. `launch` implements it with NCCL and Gloo.
///
/// Every rank must make the same calls in the same order, with tensors of the same shape and type.
/// A collective throws Error when a peer is gone.
class Group {
 public:
  virtual ~Group() = default;

  virtual int rank() const { return 0; }
  virtual int world_size() const { return 1; }
  /// Where the tensors of its collectives must be.
  virtual at::Device device() const { return at::kCPU; }

  /// Sums, or takes the maximum, over all ranks, in place. `tensor` must be contiguous. No gradient flows through.
  virtual void all_reduce_sum(at::Tensor& tensor) const;
  virtual void all_reduce_max(at::Tensor& tensor) const;

  /// Overwrites `tensor` on every rank by the one of `root`.
  virtual void broadcast(at::Tensor& tensor, int root = 0) const;

  /// Concatenates the ranks' tensors along dimension 0 in rank order: n x ... on each rank becomes (n * world) x ... on all. Every rank
  /// gives the same number of rows. No gradient flows through.
  virtual at::Tensor all_gather(const at::Tensor& tensor) const;

  /// Returns when every rank has come here.
  virtual void barrier() const;

  /// The same ranks, for what the host exchanges (run_on_all_ranks, gather_texts): its collectives take tensors in host memory, so that the
  /// host need not wait for the device. By default this group.
  virtual const Group& cpu_group() const { return *this; }

  /// A group of the `size` consecutive ranks that hold this one ({0..size-1}, {size..2size-1}, ...). All ranks must call it together.
  /// Throws UsageError when `size` does not divide the world size. size 0 or world_size(): this group's whole world.
  virtual std::shared_ptr<const Group> subgroup(int size) const;
};

/// The group of one.
std::shared_ptr<const Group> single_process();

/// Runs `action`, which makes no collective, on every rank and then agrees on how it went: when it threw on any rank, it throws on all of
/// them the message of the first rank that failed, as UsageError, MismatchError or IoError where it was one of these, else as Error;
/// before that of any rank but 0 it says "rank 3: ". (On one rank what was thrown goes on as it is.) So no rank is left alone in the next
/// collective by one that has failed.
void run_on_all_ranks(const Group& group, const std::function<void()>& action);

/// As run_on_all_ranks(), for an action that may take longer than ranks wait for each other (a flush to a slow disk): it runs on a thread
/// of its own, and each `pause`, well below that time, the ranks hear that it goes on.
void run_long_on_all_ranks(const Group& group, std::chrono::milliseconds pause, const std::function<void()>& action);

/// Whether it holds on any rank; every rank must call it.
bool any_rank(const Group& group, bool here);

/// Every rank's text, by rank, on every rank.
std::vector<std::string> gather_texts(const Group& group, const std::string& text);

}  // namespace unlabel::ssl
