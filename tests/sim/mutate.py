#!/usr/bin/python3
"""Makes a wrong variant of one source file: mutate.py NAME SOURCE OUTPUT

Each variant breaks one rule that the engine or the catalogue keeps, by replacing text that stands in the present source exactly once. When it does not any more, the code has moved
on and the variant has to follow it: that fails the build."""
import sys

MUTANTS = {
    "finish_without_fence": (
        "An attempt that lost its job ends it all the same when its worker has it again.",
        [("j->job.state != JOB_RUNNING || j->job.fence != f->fence || ", "j->job.state != JOB_RUNNING || ")]),
    "reclaim_keeps_fence": (
        "A job that is taken back keeps its fence.",
        [("\tj->job.fence++;\n\tj->job.losses++;", "\tj->job.losses++;")]),
    "finish_ignores_cancel": (
        "A job that was cancelled is published when it succeeds.",
        [("\tif (j->cancel) {\n\t\tif (!finish_cancelled", "\tif (j->cancel && f->state != JOB_SUCCEEDED) {\n\t\tif (!finish_cancelled")]),
    "key_outside_transaction": (
        "The record of an Idempotency-Key is written after the file's transaction.",
        [("void mem_add_file(struct mem *m, struct change *ch)\n", "void coop_between(void);\nvoid mem_add_file(struct mem *m, struct change *ch)\n"),
         ("\tif (key.text)\n\t\tm->keys[m->n_keys++] = key;\n", "\tif (key.text) {\n\t\tcoop_between();\n\t\tm->keys[m->n_keys++] = key;\n\t}\n")]),
    "form_stored_in_part": (
        "When one of several files is refused, those before it are stored.",
        [("\t\tif (!check_new(m, ch, &add->files[i], &before))\n\t\t\treturn false;\n",
          "\t\tif (!check_new(m, ch, &add->files[i], &before)) {\n\t\t\tadd->n = i;\n\t\t\treturn true;\n\t\t}\n")]),
    "form_blobs_unguarded": (
        "The sweep is not told of files whose bytes are safe and that wait for others of their form.",
        [("\tintake_big_safe(in);", "\tintake_big_forget(in);")]),
    "form_blobs_removed_after_unknown_commit": (
        "After a commit that ended nobody knows how, the blobs of a form are removed.",
        [("\tfor (size_t i = 0; catalog_sealed(x->g->catalog) && i < x->n; i++)\n\t\tx->members[i].in->stored = false;\n", "")]),
    "claim_over_op_limit": (
        "What may run of an op is not compared with what runs.",
        [("\treturn op->running < op->may_run ? op->may_run - op->running : 0;", "\treturn op->may_run;")]),
    "claim_over_owner_limit": (
        "A claim gives an owner as many as may run of his, whatever runs.",
        [("\treturn o->running < x->c->owner_limit ? x->c->owner_limit - o->running : 0;", "\treturn x->c->owner_limit;")]),
    "first_owner_takes_all": (
        "A claim is not divided: who comes first gets all that is wanted.",
        [("\tshare = n > 0 && want / n > 1 ? want / n : 1;", "\tshare = n > 0 ? want : 1;")]),
    "owner_queue_without_bound": (
        "How many jobs of one owner wait is asked of no one.",
        [(" &&\n\t\t\t     !over(ch, true, catalog_allowance(c, own).max[QUOTA_JOBS], waiting_of_owner, more, rest)", "")]),
    "owner_limit_not_asked": (
        "The scheduler claims without the owners' limit.",
        [(".owner_limit = g->config.owner_concurrency,", ".owner_limit = 0,")]),
    "cancel_behind_claim_lost": (
        "A cancel that is told before the claimed jobs are in hand is forgotten. There is more time for one, or it would take thousands of histories.",
        [("\t\tcancel_where(g, m.id, m.by_file);", "\t\t(void)m;"),
         ("\ts->next_at = c.claim.next_at;\n", "\ts->next_at = c.claim.next_at;\n\t(void)sleeper_pause(&s->sleeper, 3);\n")]),
    "limit_end_not_told": (
        "When an attempt ends, nobody looks whether a limit has room now.",
        [("\tif (atomic_load(&g->scheduler.blocked))\n\t\tscheduler_kick(g);", "\t(void)g;")]),
    "result_expires_before_its_heir": (
        "A result expires though a job that works on it has not ended.",
        [("if ((until = needed_until(j, c->again_at)) != 0)", "if ((until = needed_until(j, c->again_at)) < 0)")]),
    "expires_though_put_off": (
        "A file is deleted though it was given more time after the janitor read its list.",
        [(" || f->file.expires_at > d->expired_by", "")]),
    "progress_to_everybody": (
        "How far a job is, is told to other owners.",
        [("publish(g, \"job.progress\", owner, ", "publish(g, \"job.progress\", STR(OWNER_PUBLIC), ")]),
    "cancelled_not_delivered": (
        "Webhooks are not told of cancelled jobs.",
        [("void mem_deliver(struct mem *m, const struct mem_job *j)\n{\n\tconst struct job *job = &j->job;\n",
          "void mem_deliver(struct mem *m, const struct mem_job *j)\n{\n\tconst struct job *job = &j->job;\n\n"
          "\tif (job->state == JOB_CANCELLED)\n\t\treturn;\n")]),
    "delivery_sent_twice_at_once": (
        "A delivery that is on its way is sent once more, since it is still due.",
        [("\t\tif (is_under_way(w, list[i].number))\n", "\t\tif (is_under_way(w, list[i].number) && list[i].number < 0)\n")]),
    "delivered_when_sent": (
        "A delivery counts as made whatever the receiver answers.",
        [("\twebhook_judge(v, &answer, c, s->tries, g->env->random(g->env));",
          "\twebhook_judge(v, &answer, c, s->tries, g->env->random(g->env));\n\tv->state = DELIVERY_DELIVERED;")]),
    "attempt_not_kept": (
        "An attempt whose commit was refused is forgotten, and what the receiver has is sent once more.",
        [("err_info(c->code)->retryable)\n\t\treturn false;", "err_info(c->code)->retryable && w_never)\n\t\treturn false;"),
         ("static bool take_commit(struct slot *s)\n", "static const bool w_never = false;\nstatic bool take_commit(struct slot *s)\n")]),
    "hooks_not_woken": (
        "Nobody is woken for a new delivery.",
        [("if (rc == 0 && catalog_new_deliveries(g->catalog) > 0)", "if (rc == 0 && catalog_new_deliveries(g->catalog) > 1000)")]),
    "shared_output_doomed": (
        "The bytes of an output go with their file though another job's output is the same blob.",
        [("\t\tif (mem_output_used(m, blob))\n\t\t\tcontinue;\n", "")]),
    "answer_before_commit": (
        "An upload is answered when its change was handed over.",
        [("\tengine_submit(g, &in->change, committed, in);",
          "\tin->done(in->done_arg, &(struct intake_result){.file = &in->file, .err = ERR_INIT});\n\tin->done = mutant_done;\n"
          "\tengine_submit(g, &in->change, committed, in);"),
         ("int intake_commit(struct intake *in, struct err *e)\n",
          "static void mutant_done(void *arg, const struct intake_result *r)\n{\n}\n\nint intake_commit(struct intake *in, struct err *e)\n")]),
    "blob_removed_after_unknown_commit": (
        "After a commit that ended nobody knows how, the upload's blob is removed.",
        [("\t\tif (catalog_sealed(in->g->catalog))\n\t\t\tin->stored = false;\n", "")]),
    "failed_commit_acknowledged": (
        "A batch that failed is taken for a good one.",
        [("\t\tif (rc != 0) {\n\t\t\tc->code = rc;", "\t\tif (rc == ERR_STORAGE_SEALED) {\n\t\t\tc->code = rc;")]),
    "sweep_asks_catalogue_first": (
        "The sweep asks the catalogue before the lists of uploads and jobs in hand.",
        [("\tif (may_come(s, name))\n\t\treturn 0;\n\tif (catalog_blob_referenced", "\tif (catalog_blob_referenced"),
         ("\tif (referenced)\n\t\treturn 0;\n", "\tif (referenced || may_come(s, name))\n\t\treturn 0;\n")]),
    "waiter_not_looked_at": (
        "Who comes to wait is not looked at: what has happened already wakes nobody.",
        [("\tx->next = w->poked;\n\tw->poked = x;\n\tpthread_mutex_unlock(&w->lock);\n\tsleeper_kick",
          "\tput_back(w, x);\n\tpthread_mutex_unlock(&w->lock);\n\tsleeper_kick")]),
    "kick_lost": (
        "A kick that comes while the thread does something else is forgotten when it goes to sleep.",
        [("\tpthread_mutex_lock(&s->lock);\n\twhile (!s->kicked", "\tpthread_mutex_lock(&s->lock);\n\ts->kicked = false;\n\twhile (!s->kicked")]),
    "output_published_before_durable": (
        "The end of a job is handed in before its output was flushed.",
        [("\t\to->writer = NULL;\n\t\trc = blob_commit(w, e);", "\t\t(void)w;")]),
    "lease_by_wall_clock": (
        "Whether a lease has ended is asked of a clock that may be set.",
        [("return s->registered ? s->beat_wall + (engine_mono(g) - s->beat_mono) : engine_now(g);",
          "return s->beat_wall == -1 ? 0 : engine_now(g);")]),
    "resume_skips_an_event": (
        "A reader of events that comes back misses the first one.",
        [("\t*ret_seq = seq + 1;", "\t*ret_seq = seq + 2 < r->next ? seq + 2 : seq + 1;")]),
    "outbox_skips_what_failed": (
        "What could not be told is not tried again.",
        [("i < n && g->config.outbox(g->config.outbox_arg, &entries[i].job) == 0; i++",
          "i < n && (g->config.outbox(g->config.outbox_arg, &entries[i].job) == 0 || true); i++")]),
    "names_shared_by_followers": (
        "A job takes over the output of an equal one though the input's name is in it.",
        [(" && (!w->jobs[0].op->named || str_eq(a->name, b->name))", "")]),
}


def mutate(name, text):
    for old, new in MUTANTS[name][1]:
        found = text.count(old)
        if found != 1:
            sys.exit(f"tests/sim/mutate.py: the text that variant {name} replaces stands {found} times in the source and should once: {old!r}")
        text = text.replace(old, new)
    return text


def main():
    name, source, output = sys.argv[1:]
    with open(source, encoding="utf-8") as f:
        text = f.read()
    with open(output, "w", encoding="utf-8") as f:
        f.write(mutate(name, text))


main()
