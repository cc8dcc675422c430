// OpenCV's image codecs start GDAL, which takes two of its own locks in both orders, on one thread.
#ifdef __SANITIZE_THREAD__
extern "C" const char* __tsan_default_suppressions() { return "deadlock:libgdal.so\n"; }
#endif
