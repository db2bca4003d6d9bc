/* synod snapshot: saves the whole database of one member to a file.
 *
 * The file appears under its name only when it is complete and on disk: it is written beside,
 * synced and renamed. The bytes are the server's, whatever format it keeps. */
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/print.h"
#include "cli/session.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static const struct options_spec spec = {
    .command = "snapshot",
    .summary = "save the whole database to a file",
    .arguments = "save FILE",
    .description = "Takes it from the first endpoint that answers. --timeout bounds the time "
                   "without progress.\n" SESSION_EXIT_HELP,
    .examples = "  synod snapshot save backup.db\n"
                "  synod snapshot save /backup/$(date +%F).db --endpoints 10.0.0.2:2379\n",
    .arguments_min = 2,
    .arguments_max = 2,
    .tables = {session_flags},
};

struct saver {
    struct session *session;
    struct grpc_call call;
    struct grpc_status status;
    int fd;
    int error; /* of writing */
    uint64_t size;
    uint64_t left;
    uint64_t progress_ms;
    uint64_t shown_ms;
    bool done;
};

static void write_all(struct saver *saver, ProtobufCBinaryData blob)
{
    size_t done = 0;
    while (done < blob.len && saver->error == 0) {
        ssize_t size = write(saver->fd, blob.data + done, blob.len - done);
        if (size < 0 && errno != EINTR)
            saver->error = errno;
        else if (size > 0)
            done += (size_t)size;
    }
    saver->size += done;
}

static void show_progress(struct saver *saver, uint64_t now)
{
    if (saver->session->json || isatty(STDERR_FILENO) != 1 || now - saver->shown_ms < 100)
        return;
    char size[32];
    char left[32];
    saver->shown_ms = now;
    format_size(saver->size, size, sizeof size);
    format_size(saver->left, left, sizeof left);
    fprintf(stderr, "\r%s saved, %s to go \033[K", size, left);
}

static void on_message(struct grpc_call *call, struct bytes message)
{
    struct saver *saver = call->owner;
    Etcdserverpb__SnapshotResponse *response =
        etcdserverpb__snapshot_response__unpack(NULL, message.size, message.data);
    if (response == NULL)
        return;
    write_all(saver, response->blob);
    saver->left = response->remaining_bytes;
    saver->progress_ms = uv_now(&saver->session->client.loop);
    show_progress(saver, saver->progress_ms);
    etcdserverpb__snapshot_response__free_unpacked(response, NULL);
}

static void on_end(struct grpc_call *call, const struct grpc_status *status)
{
    struct saver *saver = call->owner;
    saver->status = *status;
    saver->done = true;
}

static enum exit_code receive(struct saver *saver)
{
    struct session *session = saver->session;
    Etcdserverpb__SnapshotRequest request = ETCDSERVERPB__SNAPSHOT_REQUEST__INIT;
    grpc_call_init(&saver->call);
    saver->call.on_message = on_message;
    saver->call.on_end = on_end;
    saver->call.owner = saver;
    grpc_call_begin(&saver->call);
    grpc_call_pack(&saver->call, &request.base);
    enum exit_code code = session_stream(session, &saver->call, rpc_snapshot_path, false);
    if (code != EXIT_CODE_OK)
        return code;
    grpc_call_push(&saver->call, true);
    saver->progress_ms = uv_now(&session->client.loop);
    while (!saver->done && saver->error == 0) {
        uv_run(&session->client.loop, UV_RUN_ONCE);
        if (uv_now(&session->client.loop) > saver->progress_ms + session->timeout_ms) {
            saver->status.code = GRPC_DEADLINE_EXCEEDED;
            snprintf(saver->status.message, sizeof saver->status.message,
                     "no progress for a whole timeout");
            break;
        }
    }
    grpc_call_release(&saver->call);
    if (isatty(STDERR_FILENO) == 1 && !session->json)
        fprintf(stderr, "\r\033[K");
    if (saver->error == 0 && saver->status.code == GRPC_OK && saver->left != 0) {
        saver->status.code = GRPC_INTERNAL;
        snprintf(saver->status.message, sizeof saver->status.message,
                 "the snapshot ends too early");
    }
    if (saver->error == 0 && saver->status.code != GRPC_OK)
        session_print_error(session, &saver->status);
    return saver->error != 0 ? EXIT_CODE_FAILED : session_exit_code(&saver->status);
}

static void print_answer(const struct session *session, const char *path, uint64_t size)
{
    char text[32];
    format_size(size, text, sizeof text);
    if (session->json) {
        struct json json = json_of(stdout);
        json_object(&json, NULL);
        json_text(&json, "file", path);
        json_u64(&json, "size", size);
        json_object_end(&json);
        json_line(&json);
    } else {
        printf("%s saved to %s\n", text, path);
    }
}

static enum exit_code save(struct session *session, const struct options *options)
{
    const char *path = options->arguments[1];
    char beside[4096];
    if (strcmp(options->arguments[0], "save") != 0)
        return usage_error(options, "there is no \"snapshot %s\"", options->arguments[0]);
    if ((size_t)snprintf(beside, sizeof beside, "%s.part", path) >= sizeof beside)
        return usage_error(options, "FILE is too long a name");
    struct saver saver = {.session = session};
    saver.fd = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    saver.error = saver.fd < 0 ? errno : 0;
    enum exit_code code = EXIT_CODE_FAILED;
    if (saver.fd >= 0) {
        code = receive(&saver);
        if (code == EXIT_CODE_OK && fsync(saver.fd) != 0)
            saver.error = errno;
        close(saver.fd);
        if (code == EXIT_CODE_OK && saver.error == 0 && rename(beside, path) != 0)
            saver.error = errno;
        if (code != EXIT_CODE_OK || saver.error != 0)
            unlink(beside);
    }
    if (saver.error != 0) {
        fprintf(stderr, "synod snapshot: %s: %s\n", path, strerror(saver.error));
        return EXIT_CODE_FAILED;
    }
    if (code == EXIT_CODE_OK)
        print_answer(session, path, saver.size);
    return code;
}

int cmd_snapshot(int argc, char **argv)
{
    return session_command(&spec, argc, argv, save);
}
