#include <unlabel/launch/program.h>

int main(int count, char** values) { return unlabel::launch::program(count, values); }
