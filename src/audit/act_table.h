/* AUDIT_ROW(ID, word, help): the one list of what the audit log tells of; docs/reference/audit.md is checked against it. A word, once given, keeps its meaning. No include guard on purpose. */
AUDIT_ROW(SERVER_STARTED, "server.started",
	  "A server began to work on the data directory: version, digest of the settings in force, where the log stood")
AUDIT_ROW(SERVER_STOPPED, "server.stopped", "A server ended in order; a start without an end before it followed a crash")
AUDIT_ROW(FILE_STORED, "file.stored", "A file was taken; only with audit.uploads")
AUDIT_ROW(FILE_DELETED, "file.deleted", "A file was deleted by a request")
AUDIT_ROW(FILE_EXPIRED, "file.expired", "A file was deleted because its time had come")
AUDIT_ROW(FILE_CHANGED, "file.changed", "Name, labels or expiry of a file were changed by a request")
AUDIT_ROW(FILE_DAMAGED, "file.damaged", "Stored bytes of a file were found not to be those that were acknowledged")
AUDIT_ROW(FILE_WHOLE, "file.whole", "Bytes of a file that was marked as damaged were found to be right")
AUDIT_ROW(OUTPUT_DAMAGED, "output.damaged", "Stored bytes of an output were found not to be those that were made")
AUDIT_ROW(OUTPUT_WHOLE, "output.whole", "Bytes of an output that was marked as damaged were found to be right")
AUDIT_ROW(JOB_CANCELLED, "job.cancelled", "A job was cancelled by a request")
AUDIT_ROW(JOB_RETRIED, "job.retried", "A job was put back into the queue by a request")
AUDIT_ROW(BLOB_REMOVED, "blob.removed", "fsck --repair removed bytes that nothing referred to")
AUDIT_ROW(DATA_RESTORED, "data.restored", "The data directory was made of a backup; what was done after that backup is not in this log")
AUDIT_ROW(AUDIT_BROKEN, "audit.broken",
	  "The log was found cut, changed or added to; it goes on in a new file, and what was found stays as it is")
