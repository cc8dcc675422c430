#include <unlabel/augment/system_error.h>

#include <cerrno>
#include <system_error>

namespace unlabel {

FaultKind fault_kind(int error) {
  switch (error) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return FaultKind::kProcess;
    // A disk that fails, is gone, or whose file system is damaged.
    case EIO:
    case EBADMSG:
    case ENODEV:
    case ENOMEDIUM:
    case ENXIO:
    case EREMOTEIO:
    case EUCLEAN:
    // A server that is gone, restarts, or has forgotten us. ENOTCONN and ECONNABORTED are those of FUSE.
    case EAGAIN:
    case ECOMM:
    case ECONNABORTED:
    case ECONNREFUSED:
    case ECONNRESET:
    case EHOSTDOWN:
    case EHOSTUNREACH:
    case EKEYEXPIRED:
    case ENETDOWN:
    case ENETRESET:
    case ENETUNREACH:
    case ENOBUFS:
    case ENOKEY:
    case ENOLCK:
    case ENOLINK:
    case ENONET:
    case ENOTCONN:
    case EPROTO:
    case ESHUTDOWN:
    case ESTALE:
    case ETIME:
    case ETIMEDOUT:
    // A signal ended the call, as network file systems allow.
    case EINTR:
      return FaultKind::kOutside;
    default:
      return FaultKind::kFile;
  }
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
