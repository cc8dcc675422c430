#include <unlabel/ssl/group.h>
