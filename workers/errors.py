"""Errors of the service's own parts, joined to recon's tree.

ResourceError
├── StoreAway         the object store does not answer, or answers that it is busy: worth another try
├── StoreRefused      wrong credentials, no such bucket, no permission
├── StoreDamaged      what came back is not what was written
├── BrokerAway        Redis or Valkey does not answer
└── DatabaseAway      the database does not answer
InputError
├── DamagedUpload     a file's content is not the one whose SHA-256 was announced
└── TooSlow           looking at a capture took longer than any honest one does
ReconError
└── OverQuota         more than the owner may store, upload or have running
"""

from recon.errors import InputError, ReconError, ResourceError


class StoreAway(ResourceError):
    code = "store_away"


class StoreRefused(ResourceError):
    code = "store_refused"


class StoreDamaged(ResourceError):
    code = "store_damaged"


class BrokerAway(ResourceError):
    code = "broker_away"


class DatabaseAway(ResourceError):
    code = "database_away"


class DamagedUpload(InputError):
    code = "damaged_upload"


class TooSlow(InputError):
    code = "too_slow"


class OverQuota(ReconError):
    code = "over_quota"
