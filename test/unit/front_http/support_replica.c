/* The same replica that the etcd front is tested with. */
#include "front_etcd/support_replica.c" /* NOLINT(bugprone-suspicious-include): one fake, two rooms */
