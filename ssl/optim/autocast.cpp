#include <unlabel/augment/error.h>
#include <unlabel/augment/options.h>
#include <unlabel/ssl/optim/autocast.h>

#include <ATen/autocast_mode.h>

namespace unlabel::ssl {

std::optional<c10::ScalarType> autocast_type(const std::string& precision) {
  if (precision == "float32") return std::nullopt;
  if (precision == "bf16") return at::kBFloat16;
  if (precision == "fp16") return at::kHalf;
  throw UsageError("no precision '", precision, "'", did_you_mean(precision, {"float32", "bf16", "fp16"}),
                   "; there are float32, bf16 and fp16, and float64 to pretrain");
}

Autocast::Autocast(c10::DeviceType device, std::optional<c10::ScalarType> type)
    : device_(device),
      enabled_before_(at::autocast::is_autocast_enabled(device)),
      type_before_(at::autocast::get_autocast_dtype(device)) {
  at::autocast::set_autocast_enabled(device, type.has_value());
  if (type) at::autocast::set_autocast_dtype(device, *type);
  at::autocast::increment_nesting();
}

Autocast::~Autocast() {
  // As torch.autocast does at the end of its outermost scope.
  if (at::autocast::decrement_nesting() == 0) at::autocast::clear_cache();
  at::autocast::set_autocast_enabled(device_, enabled_before_);
  at::autocast::set_autocast_dtype(device_, type_before_);
}

}  // namespace unlabel::ssl
