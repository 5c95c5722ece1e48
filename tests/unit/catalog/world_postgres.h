#ifndef FILEMILL_TESTS_CATALOG_WORLD_POSTGRES_H
#define FILEMILL_TESTS_CATALOG_WORLD_POSTGRES_H

#define WORLD_DATABASE "filemill"

/* cmocka's set-up, as world_sqlite(); tear-down is world_end(). postgres_end() after the last test. */
int world_postgres(void **state);
/* A new database with the tables in it, beside the world's. */
void world_postgres_database(const char *name);

#endif
