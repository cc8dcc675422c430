# install() and export: filled by room; see unlabelConfig.cmake.in.
