#include <unlabel/launch/run/throughput.h>

namespace unlabel::launch {

void Throughput::step(double waited) {
  const auto now = Clock::now();
  const Sum one{1, std::chrono::duration<double>(now - last_).count(), waited - waited_};
  last_ = now;
  waited_ = waited;
  (warmup_.steps < kWarmup ? warmup_ : total_).add(one);

  // The sums over the window are recomputed in each step: updating them by differences would accumulate rounding errors.
  constexpr std::size_t kWindow = 20;
  window_.push_back(one);
  if (window_.size() > kWindow) window_.pop_front();
  recent_ = {};
  for (const auto& item : window_) recent_.add(item);
}

void Throughput::resume(double waited) {
  last_ = Clock::now();
  waited_ = waited;
}

}  // namespace unlabel::launch
