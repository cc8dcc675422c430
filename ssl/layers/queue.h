#pragma once

#include <unlabel/ssl/group.h>

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>

namespace unlabel::ssl {

/// First-in, first-out queues of the embeddings of past batches, newest first: one for each crop that gets an assignment (SwAV,
/// arXiv:2006.09882, section 3.1, "Working with small batches"), or a single one of keys (MoCo, arXiv:1911.05722, section 3.2; crops = 1).
///
/// Every rank holds the embeddings of all ranks in the same order, so that a checkpoint contains one copy and can be loaded with any number
/// of ranks. Buffers: `embeddings` (crops x length x dim, zero at first) and `filled` (int64 scalar: rows pushed so far, at most `length`).
struct Queue : torch::nn::Module {
  /// `length`: capacity in embeddings of all ranks, for each crop.
  Queue(std::int64_t crops, std::int64_t length, std::int64_t dim, std::shared_ptr<const Group> group);

  std::int64_t length() const { return length_; }

  /// True if every row holds an embedding; the queue should not be used before. The host waits for the device, until the answer is known to
  /// stay true: after the first call that found the queue full with `step_start`. `step_start`: nothing was pushed yet in this step. (A
  /// push of the current step is undone when the step is skipped, so an answer after it may become false again.)
  bool full(bool step_start) const;
  /// The rows pushed so far, at most length(), as a tensor on the device: an int64 scalar.
  const at::Tensor& filled() const { return filled_; }

  /// The whole queue: crops x length x dim.
  const at::Tensor& all() const { return embeddings_; }

  /// Fills all rows with random unit vectors from torch's default generator. filled() stays as it is.
  void fill_with_random_directions();

  /// This rank's part of the rows: crops x (length / world_size) x dim, rows rank * length / world_size and following. `length` must be a
  /// multiple of the world size.
  at::Tensor local() const;

  /// Inserts the embeddings of all ranks at the front and drops as many of the oldest. `embeddings`: this rank's, crops x n x dim. One
  /// all_gather; every rank must call it. NaN and infinity become 0, so that a skipped (non-finite) batch does not spoil later ones.
  void push(const at::Tensor& embeddings);
  /// The same for embeddings that were gathered before: all ranks' in rank order, crops x (n * world_size) x dim. No collective.
  void push_gathered(const at::Tensor& embeddings);

 private:
  std::int64_t length_;
  std::shared_ptr<const Group> group_;
  at::Tensor embeddings_, filled_;
  mutable bool was_full_ = false;  ///< full() found the queue full at the start of a step, so it stays full
};

}  // namespace unlabel::ssl
