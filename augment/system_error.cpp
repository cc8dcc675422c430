#include <unlabel/augment/system_error.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace unlabel {

namespace {

/// A disk that fails, is gone, or whose file system is damaged.
constexpr int kDiskFaults[] = {EIO, EBADMSG, ENODEV, ENOMEDIUM, ENXIO, EREMOTEIO, EUCLEAN};
/// A server that is gone, restarts, or has lost its state. ENOTCONN and ECONNABORTED are those of FUSE.
constexpr int kServerFaults[] = {EAGAIN,       ECOMM,       ECONNABORTED, ECONNREFUSED, ECONNRESET,  EHOSTDOWN,
                                 EHOSTUNREACH, EKEYEXPIRED, ENETDOWN,     ENETRESET,    ENETUNREACH, ENOBUFS,
                                 ENOKEY,       ENOLCK,      ENOLINK,      ENONET,       ENOTCONN,    EPROTO,
                                 ESHUTDOWN,    ESTALE,      ETIME,        ETIMEDOUT};

template <class List>
bool holds(const List& list, int error) {
  return std::ranges::find(list, error) != std::ranges::end(list);
}

}  // namespace

FaultKind fault_kind(int error) {
  if (error == EMFILE || error == ENFILE || error == ENOMEM) return FaultKind::kProcess;
  // EINTR: a signal ended the call, as network file systems allow.
  if (error == EINTR || holds(kDiskFaults, error) || holds(kServerFaults, error)) return FaultKind::kOutside;
  return FaultKind::kFile;
}

std::string reason_of(int error) { return std::generic_category().message(error); }

void throw_system_error(const std::string& what, int error) {
  switch (fault_kind(error)) {
    case FaultKind::kOutside:
      throw IoError(what, ": ", reason_of(error));
    case FaultKind::kProcess:
      throw LimitError(what, ": ", reason_of(error),
                       error == ENOMEM   ? "; there is too little memory"
                       : error == ENFILE ? "; the whole system has too many files open (sysctl fs.file-max)"
                                         : "; raise the limit (ulimit -n) or use fewer threads");
    case FaultKind::kFile:
      break;
  }
  throw Error(what, ": ", reason_of(error));
}

}  // namespace unlabel
