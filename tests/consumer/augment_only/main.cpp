#include <unlabel/augment/random.h>

#include <cstdio>

int main() {
  unlabel::augment::Random random({.seed = 1, .epoch = 0, .sample = 2, .view = 3});
  const double u = random.uniform();
  std::printf("%f\n", u);
  return u >= 0 && u < 1 ? 0 : 1;
}
