#pragma once

#include <unlabel/eval/protocol.h>

#include <cstdint>
#include <string>

namespace unlabel::eval {

/// Settings of the linear protocol `features`.
struct LogisticOptions {
  double l2 = 1e-3;                   ///< weight of the penalty, lambda below; scikit-learn's C is 1 / (lambda n)
  std::int64_t max_iterations = 500;  ///< of L-BFGS
  double tolerance = 1e-7;     ///< converged when half the squared gradient (in the solver's coordinates) is no larger
  std::string device = "cpu";  ///< where to compute: cpu, cuda or cuda:N; not in the table
};

OptionTable table(LogisticOptions& options);

/// Throws UsageError as logistic_regression() does for these options, before features are computed.
void require_valid(const LogisticOptions& options);

struct LogisticResult : ClassificationResult {
  double train_accuracy = 0;
  double loss = 0;              ///< f at the end (below)
  std::int64_t iterations = 0;  ///< of L-BFGS
  bool converged = false;       ///< false: stopped by max_iterations
  double l2 = 0;                ///< as used
  at::Tensor class_labels;      ///< classes, int64: the training labels in order
  at::Tensor weight, bias;      ///< classes x d and classes: logits = features @ weight^T + bias, on features as given
};

/// The linear protocol `features`: multinomial logistic regression on frozen features, fitted to convergence, with
/// nothing to tune and nothing random.
///
/// Every feature is standardized by the training set's mean and (population) standard deviation; one that never varies
/// is only centered. Then, over n training rows x_i with classes y_i,
///
///     f(W, b) = 1/n sum_i [ -log softmax(W x_i + b)_{y_i} ] + lambda / 2 ||W||^2
///
/// is minimized from zero to its unique minimum: that of scikit-learn's StandardScaler and LogisticRegression(C = 1 /
/// (lambda n)), whose objective is f / lambda. The bias is not penalized. A penalty beside the *mean* loss keeps its
/// meaning whatever n is.
///
/// The solver is L-BFGS (Nocedal & Wright, "Numerical Optimization", algorithm 7.5) in coordinates where X^T X / (K n)
/// + lambda, f's Hessian at uniform predictions over K classes, is the identity (within a constant it bounds the
/// Hessian everywhere: Böhning 1992, Ann. Inst. Statist. Math. 44). That saves most of the iterations and does not move
/// the minimum.
///
/// Test labels are matched by class name (make_targets); one without training images counts as wrong. Ranks share
/// the training rows; the result is the same on every rank, and that of one rank up to the order of sums. Throws
/// UsageError for l2 <= 0, unlabeled or empty sets.
LogisticResult logistic_regression(const Features& train, const Features& test, const LogisticOptions& options,
                                   const ssl::Group& group);

Report report(const LogisticResult& result);

ProtocolSpec logistic_protocol();

}  // namespace unlabel::eval
