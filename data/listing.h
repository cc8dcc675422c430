#pragma once

namespace unlabel::data {

/// Whether the listing of a large folder may be one that was kept from before.
enum class Listing {
  kKept,   ///< where nothing has changed, as far as the folders' times tell
  kFresh,  ///< every file is looked at: for a run that goes on, which must notice when its data has changed
};

}  // namespace unlabel::data
