#include <unlabel/augment/error.h>
#include <unlabel/launch/distributed/agreement.h>
#include <unlabel/launch/distributed/main_setup.h>

#include <ATen/Parallel.h>
#include <c10/util/Logging.h>
#include <torch/cuda.h>
#include <torch/version.h>

#include <cstdlib>

C10_DECLARE_int(caffe2_log_level);

namespace unlabel::launch {

void quiet_libraries() {
  constexpr int kErrorsOnly = 2;
  if (!std::getenv("TORCH_CPP_LOG_LEVEL")) FLAGS_caffe2_log_level = kErrorsOnly;
  ::setenv("OPENCV_LOG_LEVEL", "SILENT", /*overwrite=*/0);
  c10::WarningUtils::set_warnAlways(false);
}

std::string program_version() { return concat("unlabel ", UNLABEL_VERSION, ", LibTorch ", TORCH_VERSION); }

std::shared_ptr<const ssl::Group> rendezvous(const Environment& environment, c10::Device device,
                                             const ConnectOptions& options, const std::string& command) {
  auto group = connect(environment, device, options);
  require_equal_on_all_ranks(*group,
                             {same_program(), {"another command", command, "start all ranks with the same one"}});
  return group;
}

void use_share_of_cores(const Environment& environment) {
  if (!environment.local_world_size) return;
  static const int library = at::get_num_threads();  // LibTorch's own choice, before the first call changes it
  const int threads = arithmetic_threads(environment, augment::usable_processors(), library, environment_variable);
  if (threads != at::get_num_threads()) at::set_num_threads(threads);
}

void use_share_of_cores(Environment& environment, const ssl::Group& group) {
  environment.local_world_size = ranks_on_these_cores(group);
  use_share_of_cores(environment);
}

std::string version_text() {
  return concat("unlabel ", UNLABEL_VERSION, " (LibTorch ", TORCH_VERSION, "; backends: ", built_backends(),
                "; GPUs: ", torch::cuda::is_available() ? torch::cuda::device_count() : 0, ")");
}

}  // namespace unlabel::launch
