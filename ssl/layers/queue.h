#pragma once

#include <unlabel/ssl/group.h>

#include <torch/nn/module.h>

#include <cstdint>
#include <memory>

namespace unlabel::ssl {

/// The embeddings of past batches, newest first, a line for each kind: one for each crop that gets an assignment (SwAV, section 3.1,
/// "Working with small batches"), or one of keys (MoCo).
///
/// The lines are kept in global order and are the same on every rank, so that a checkpoint holds one of them whatever
/// the world size. Buffers: `embeddings` (crops x length x dim, zero at first) and `filled` (int64: rows pushed so far,
/// at most `length`).
struct Queue : torch::nn::Module {
  /// `length` counts embeddings over the whole world.
  Queue(std::int64_t crops, std::int64_t length, std::int64_t dim, std::shared_ptr<const Group> group);

  std::int64_t length() const { return length_; }

  /// True when every row holds an embedding; until then it should not be used. Waits for the device, but not once it has been full at the
  /// start of a step. `step_start`: nothing was pushed yet in this step, so that a step that is left out cannot take the answer back.
  bool full(bool step_start) const;
  /// The rows pushed so far, at most length(), as a tensor on the device: an int64 scalar.
  const at::Tensor& filled() const { return filled_; }

  /// The whole queue: crops x length x dim.
  const at::Tensor& all() const { return embeddings_; }

  /// Puts random unit vectors everywhere, from torch's generator. They count as not filled.
  void fill_with_random_directions();

  /// This rank's part: crops x length / world_size x dim. The ranks' parts make up the queue, whose length must be a multiple of the
  /// world size.
  at::Tensor local() const;

  /// Puts the embeddings of all ranks (this rank's: crops x n x dim) in front and drops as many at the end. One
  /// all_gather. NaN and infinities become 0, so that a batch that had to be skipped does not spoil those after it.
  void push(const at::Tensor& embeddings);
  /// The same of what has been gathered already: all ranks' embeddings in rank order, crops x (n * world) x dim.
  void push_gathered(const at::Tensor& embeddings);

 private:
  std::int64_t length_;
  std::shared_ptr<const Group> group_;
  at::Tensor embeddings_, filled_;
  mutable bool was_full_ = false;
};

}  // namespace unlabel::ssl
