/* Prints the newest row of every series of a store, written from the text of ringbuf/layout.py alone.
 *
 *     cc -std=gnu11 -O2 -o reader reader.c && ./reader market_monitor
 *
 * One line a series: its name, then name=value for each public column, separated by tabs; doubles
 * with 17 digits. Exit codes: 0 printed, 2 wrong use, 3 no store that can be read.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct header {
    char magic[8];
    uint32_t ready;
    uint16_t major, minor;
    int64_t size;
    int64_t document_offset, document_size;
    int64_t columns_offset, columns_stride, columns;
    int64_t series_offset, series_stride, series;
    int64_t control_offset, control_stride;
    int64_t data_offset, record_stride, column_stride;
    int64_t capacity, history, interval_ms, created_ms;
};

struct column { char name[64], kind[8], unit[32], definition[152]; };
struct series { char name[64], alias[64]; };

enum { SEQUENCE, DIRTY_FROM, NEWEST, CLOSED, START, REWINDS = 15 };

static const uint32_t READY = 0x59444552;
static const int64_t EMPTY = INT64_MIN;

struct store { const char *memory; struct header head; };

static int64_t load(const int64_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static double now_s(void)
{
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return moment.tv_sec + moment.tv_nsec / 1e9;
}

static int refuse(const char *name, const char *why)
{
    fprintf(stderr, "reader: store %s: %s\n", name, why);
    return 3;
}

static int attach(struct store *store, const char *name)
{
    char path[300];
    struct stat file;
    snprintf(path, sizeof path, "/dev/shm/%s", name);
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return refuse(name, "there is none");
    if (pread(descriptor, &store->head, sizeof store->head, 0) != sizeof store->head)
        return refuse(name, "it has no whole header");
    const struct header *head = &store->head;
    if (memcmp(head->magic, "ringbuf\n", 8) != 0)
        return refuse(name, "it is no store");
    if (head->major != 1) {
        fprintf(stderr, "reader: found layout version %u, expected 1\n", head->major);
        return 3;
    }
    if (head->ready != READY)
        return refuse(name, "it is still being made");
    if (fstat(descriptor, &file) != 0 || file.st_size < head->size)
        return refuse(name, "it is truncated");
    store->memory = mmap(NULL, (size_t)head->size, PROT_READ, MAP_SHARED, descriptor, 0);
    close(descriptor);
    return store->memory == MAP_FAILED ? refuse(name, "it cannot be mapped") : 0;
}

/* The values of the newest row up to bar `ceiling`, column by column; false: there is none. */
static int copy_newest(const struct store *store, const int64_t *control, const char *record,
                       int64_t ceiling, int64_t *values)
{
    const struct header *head = &store->head;
    int64_t newest = load(&control[NEWEST]), start = load(&control[START]);
    if (newest < 0)
        return 0;
    int64_t bar = newest < ceiling ? newest : ceiling;
    int64_t oldest = newest - head->history + 1;
    if (bar < (start > oldest ? start : oldest))
        return 0;
    int64_t at = bar % head->capacity + head->capacity;
    for (int64_t column = 0; column < head->columns; column++) {
        const char *cells = record + column * head->column_stride;
        values[column] = load((const int64_t *)cells + at);
    }
    return 1;
}

/* The same as one consistent state: the sequence lock. */
static int read_newest(const struct store *store, int64_t position, int64_t *values)
{
    const struct header *head = &store->head;
    const int64_t *control =
        (const int64_t *)(store->memory + head->control_offset + position * head->control_stride);
    const char *record = store->memory + head->data_offset + position * head->record_stride;
    double deadline = now_s() + 0.25;
    for (;;) {
        int64_t before = load(&control[SEQUENCE]);
        if (!(before & 1)) {
            int found = copy_newest(store, control, record, INT64_MAX, values);
            atomic_thread_fence(memory_order_acquire);
            if (__atomic_load_n(&control[SEQUENCE], __ATOMIC_RELAXED) == before)
                return found;
        }
        if (now_s() < deadline)
            continue;
        /* The writer died in mid-write, or never rests: rows before `dirty_from` are intact. */
        int64_t rewinds = load(&control[REWINDS]);
        int64_t dirty = load(&control[DIRTY_FROM]);
        int found = copy_newest(store, control, record, dirty - 1, values);
        atomic_thread_fence(memory_order_acquire);
        if (__atomic_load_n(&control[REWINDS], __ATOMIC_RELAXED) == rewinds)
            return found;
    }
}

static void print_value(const struct column *column, int found, int64_t bits)
{
    double number;
    printf("\t%.*s=", (int)sizeof column->name, column->name);
    if (!found)
        bits = column->kind[0] == 'M' ? EMPTY : 0;
    memcpy(&number, &bits, sizeof number);
    if (column->kind[0] == 'f' && found)
        printf("%.17g", number);
    else if (column->kind[0] == 'f')
        printf("nan");
    else
        printf("%lld", (long long)bits);
}

int main(int count, char **arguments)
{
    struct store store;
    if (count != 2) {
        fprintf(stderr, "usage: reader NAME\n");
        return 2;
    }
    int refused = attach(&store, arguments[1]);
    if (refused)
        return refused;
    const struct header *head = &store.head;
    int64_t *values = calloc((size_t)head->columns, sizeof *values);
    for (int64_t position = 0; position < head->series; position++) {
        const struct series *series = (const struct series *)(
            store.memory + head->series_offset + position * head->series_stride);
        int found = read_newest(&store, position, values);
        printf("%.*s", (int)sizeof series->name, series->name);
        for (int64_t k = 0; k < head->columns; k++) {
            const struct column *column = (const struct column *)(
                store.memory + head->columns_offset + k * head->columns_stride);
            if (column->name[0] != '_')
                print_value(column, found, values[k]);
        }
        printf("\n");
    }
    free(values);
    return 0;
}
