#include <unlabel/eval/features.h>
