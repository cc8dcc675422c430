#pragma once

#include <unlabel/augment/error.h>
#include <unlabel/ssl/group.h>

#include <ATen/ops/cat.h>
#include <ATen/ops/maximum.h>

#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace unlabel::ssl::testing {

/// The ranks of a Group as threads of one process, so that a test of N ranks needs no launcher.
///
///     run_ranks(2, [&](std::shared_ptr<const Group> group) { ... group->rank() ... });
///
/// Sums are taken in rank order, hence equal on all ranks and from run to run. Ranks that meet in different
/// collectives, or with tensors of different shape or type, get an Error instead of a hang.
class ThreadGroup : public Group, public std::enable_shared_from_this<ThreadGroup> {
 public:
  /// What all threads of one run share: one lock for all groups, so that one failure wakes every waiter.
  struct Run {
    std::mutex mutex;
    std::condition_variable changed;
    bool failed = false;
  };

  /// What the ranks of one group share. Guarded by Run::mutex, but for the slots: each is written by its rank before a
  /// meeting and read by the others after it.
  struct Meeting {
    Meeting(std::shared_ptr<Run> the_run, int ranks) : run(std::move(the_run)), tensors(ranks), operations(ranks) {}
    std::shared_ptr<Run> run;
    int arrived = 0;
    std::int64_t round = 0;
    std::vector<at::Tensor> tensors;
    std::vector<std::string> operations;
    std::vector<std::shared_ptr<Meeting>> children;
  };

  ThreadGroup(std::shared_ptr<Meeting> meeting, int rank) : meeting_(std::move(meeting)), rank_(rank) {}

  int rank() const override { return rank_; }
  int world_size() const override { return static_cast<int>(meeting_->tensors.size()); }

  void all_reduce_sum(at::Tensor& tensor) const override {
    reduce("all_reduce_sum", tensor, [](at::Tensor& total, const at::Tensor& part) { total.add_(part); });
  }
  void all_reduce_max(at::Tensor& tensor) const override {
    reduce("all_reduce_max", tensor,
           [](at::Tensor& total, const at::Tensor& part) { total = at::maximum(total, part); });
  }

  void broadcast(at::Tensor& tensor, int root = 0) const override {
    meet(concat("broadcast from ", root), tensor);
    const auto result = meeting_->tensors[root].detach().clone();
    wait();
    tensor.detach().copy_(result);
  }

  at::Tensor all_gather(const at::Tensor& tensor) const override {
    meet("all_gather", tensor);
    std::vector<at::Tensor> parts;
    for (const auto& part : meeting_->tensors) parts.push_back(part.detach());
    auto result = at::cat(parts);
    wait();
    return result;
  }

  void barrier() const override {
    meet("barrier", {});
    wait();
  }

  std::shared_ptr<const Group> subgroup(int size) const override {
    if (size == 0 || size == world_size()) return shared_from_this();
    if (size < 0 || world_size() % size != 0) {
      throw UsageError("a group of ", size, " ranks does not divide the ", world_size(), " there are");
    }
    meet(concat("subgroup of ", size), {});
    if (rank_ == 0) {
      meeting_->children.clear();
      for (int first = 0; first < world_size(); first += size) {
        meeting_->children.push_back(std::make_shared<Meeting>(meeting_->run, size));
      }
    }
    wait();
    auto group = std::make_shared<const ThreadGroup>(meeting_->children[rank_ / size], rank_ % size);
    wait();
    return group;
  }

 private:
  /// Returns when all ranks of the group have come; throws when one of the run's threads has failed.
  void wait() const {
    auto& run = *meeting_->run;
    std::unique_lock lock(run.mutex);
    const auto round = meeting_->round;
    if (++meeting_->arrived == world_size()) {
      meeting_->arrived = 0;
      ++meeting_->round;
      run.changed.notify_all();
    }
    run.changed.wait(lock, [&] { return run.failed || meeting_->round != round; });
    if (meeting_->round == round) throw Error("rank ", rank_, ": a peer is gone");
  }

  /// Shows every rank what the others bring, and checks that it fits.
  void meet(const std::string& operation, const at::Tensor& tensor) const {
    meeting_->tensors[rank_] = tensor;
    meeting_->operations[rank_] =
        tensor.defined() ? concat(operation, " of ", tensor.scalar_type(), " ", tensor.sizes()) : operation;
    wait();
    for (const auto& other : meeting_->operations) {
      if (other != meeting_->operations[rank_]) {
        throw Error("ranks met in different collectives: ", meeting_->operations[rank_], " and ", other);
      }
    }
  }

  template <class Combine>
  void reduce(const char* operation, at::Tensor& tensor, Combine combine) const {
    if (!tensor.is_contiguous()) throw Error(operation, ": the tensor must be contiguous");
    meet(operation, tensor);
    auto total = meeting_->tensors[0].detach().clone();
    for (int r = 1; r < world_size(); ++r) combine(total, meeting_->tensors[r].detach());
    wait();
    tensor.detach().copy_(total);
  }

  std::shared_ptr<Meeting> meeting_;
  int rank_;
};

/// Runs `body` once a rank, each in a thread of its own, and returns when all are done. Rethrows the first exception;
/// the other ranks then get an Error from the collective they wait in.
inline void run_ranks(int world, const std::function<void(std::shared_ptr<const Group>)>& body) {
  auto run = std::make_shared<ThreadGroup::Run>();
  auto meeting = std::make_shared<ThreadGroup::Meeting>(run, world);
  std::exception_ptr first;
  std::vector<std::thread> threads;
  for (int rank = 0; rank < world; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        body(std::make_shared<const ThreadGroup>(meeting, rank));
      } catch (...) {
        const std::lock_guard lock(run->mutex);
        if (!run->failed) first = std::current_exception();
        run->failed = true;
        run->changed.notify_all();
      }
    });
  }
  for (auto& thread : threads) thread.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace unlabel::ssl::testing
