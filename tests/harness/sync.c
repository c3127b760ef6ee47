/* Makes syncs slow, or fail, as the file named by SYNC_CONTROL says: "slow MILLISECONDS" or "fail". Preloaded into the daemon,
   it stands before those of SQLite's log. The file beside it, ".begun", grows by a byte with each slow sync that begins. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void tell(const char *control)
{
    char name[4096];
    FILE *begun;
    snprintf(name, sizeof name, "%s.begun", control);
    begun = fopen(name, "ae");
    if (begun) {
        fputc('.', begun);
        fclose(begun);
    }
}

static int is_ill(void)
{
    const char *name = getenv("SYNC_CONTROL");
    FILE *control = name ? fopen(name, "re") : NULL;
    char word[8] = "";
    unsigned milliseconds = 0;
    if (!control)
        return 0;
    if (fscanf(control, "%7s %u", word, &milliseconds) < 1)
        word[0] = 0;
    fclose(control);
    if (strcmp(word, "fail") == 0)
        return 1;
    if (milliseconds) {
        tell(name);
        usleep(milliseconds * 1000);
    }
    return 0;
}

static int synced(const char *name, int file)
{
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    if (is_ill()) {
        errno = EIO;
        return -1;
    }
    return real(file);
}

int fsync(int file) { return synced("fsync", file); }
int fdatasync(int file) { return synced("fdatasync", file); }
