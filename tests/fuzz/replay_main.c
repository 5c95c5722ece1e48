/* Gives each file of the folders named on the command line to a fuzz target once: the corpora as ordinary tests. Subfolders are not followed. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	long size;

	if (f == NULL || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0) {
		perror(path);
		return -1;
	}
	rewind(f);
	/* exactly as long as the input, so that a read past its end is seen */
	uint8_t *data = malloc(size > 0 ? (size_t)size : 1);
	if (data == NULL || fread(data, 1, (size_t)size, f) != (size_t)size) {
		perror(path);
		exit(1);
	}
	LLVMFuzzerTestOneInput(data, (size_t)size);
	free(data);
	fclose(f);
	return 0;
}

static int replay_folder(const char *folder, unsigned *n)
{
	DIR *d = opendir(folder);
	struct dirent *entry;
	char path[4096];

	if (d == NULL) {
		perror(folder);
		return -1;
	}
	while ((entry = readdir(d)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (replay_file(path) != 0)
			exit(1);
		++*n;
	}
	closedir(d);
	return 0;
}

int main(int argc, char **argv)
{
	unsigned n = 0;

	for (int i = 1; i < argc; i++)
		if (replay_folder(argv[i], &n) != 0)
			return 1;
	printf("%u inputs\n", n);
	return n > 0 ? 0 : 1;
}
