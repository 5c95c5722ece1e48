/* FINDING_ROW(ID, word, help): everything that a check of a data directory can find. docs/reference/findings.md is checked against it; words are stable.
 * No include guard on purpose. */

/* Inside the catalogue */
FINDING_ROW(CATALOGUE_DAMAGED, "catalogue_damaged", "The catalogue's database cannot be opened, or SQLite's own check of it failed")
FINDING_ROW(JOB_WITHOUT_FILE, "job_without_file", "A job of a file that is not there")
FINDING_ROW(JOB_WITHOUT_STATE, "job_without_state", "A job that neither waits nor has ended")
FINDING_ROW(JOB_WITH_TWO_STATES, "job_with_two_states", "A job that waits although it has ended")
FINDING_ROW(JOB_AFTER_NOTHING, "job_after_nothing", "A job that comes after one that is not there, or that is of another file")
FINDING_ROW(TASK_WITHOUT_JOB, "task_without_job", "An entry of the queue without a job")
FINDING_ROW(TASK_WITHOUT_WORKER, "task_without_worker", "A running job whose worker was never heard of")
FINDING_ROW(RESULT_WITHOUT_JOB, "result_without_job", "The end of a job that is not there")
FINDING_ROW(OUTPUT_WITHOUT_JOB, "output_without_job", "An output of a job that is not there or did not succeed")
FINDING_ROW(OUTPUTS_MISSING, "outputs_missing", "A job with fewer or more outputs than it made")
FINDING_ROW(BYTES_WITHOUT_FILE, "bytes_without_file", "Bytes in the catalogue that belong to no file")
FINDING_ROW(ARTIFACT_WITHOUT_WORK, "artifact_without_work", "Work that could be taken over, but is gone")
FINDING_ROW(DOOMED_REFERENCED, "doomed_referenced", "A blob that is to be removed although a file or an output needs it")
FINDING_ROW(TALLY_WRONG, "tally_wrong", "A sum that differs from a count")

/* Catalogue against store */
FINDING_ROW(FILE_BYTES_MISSING, "file_bytes_missing", "The bytes of a file are not there; --repair marks it as damaged")
FINDING_ROW(FILE_BYTES_LENGTH, "file_bytes_length",
	    "The bytes of a file are more or fewer than were acknowledged; --repair marks it as damaged")
FINDING_ROW(FILE_BYTES_CHANGED, "file_bytes_changed",
	    "The bytes of a file have another SHA-256 than was acknowledged; --repair marks it as damaged")
FINDING_ROW(OUTPUT_BYTES_MISSING, "output_bytes_missing", "The bytes of an output are not there; --repair marks it as damaged")
FINDING_ROW(OUTPUT_BYTES_LENGTH, "output_bytes_length",
	    "The bytes of an output are more or fewer than were made; --repair marks it as damaged")
FINDING_ROW(OUTPUT_BYTES_CHANGED, "output_bytes_changed",
	    "The bytes of an output have another SHA-256 than was made; --repair marks it as damaged")
FINDING_ROW(BYTES_UNREADABLE, "bytes_unreadable", "The bytes of a file or an output could not be read")
FINDING_ROW(KNOWN_DAMAGED, "known_damaged", "Marked as damaged before, and not looked at again for want of --read")
FINDING_ROW(MARKED_WHOLE, "marked_whole", "Marked as damaged, but the bytes are right; --read --repair takes the mark away")

/* Store against catalogue */
FINDING_ROW(BLOB_UNREFERENCED, "blob_unreferenced",
	    "A blob that neither a file nor an output needs; --repair removes it, as the next start of the server would")
FINDING_ROW(BLOB_FOREIGN, "blob_foreign", "Something among the blobs that filemill did not put there; never removed")
