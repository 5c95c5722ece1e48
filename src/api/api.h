/* The native API, version 1, and the pages that go with it. Routes translate; the engine decides. Each table ends with a pattern of NULL. */
#ifndef FILEMILL_API_API_H
#define FILEMILL_API_API_H

#include "http/http.h"

extern const struct http_route api_file_routes[];
extern const struct http_route api_import_routes[];
extern const struct http_route api_job_routes[];
extern const struct http_route api_link_routes[]; /* making links */
extern const struct http_route api_link_use_routes[]; /* redeeming them */
extern const struct http_route api_event_routes[];
extern const struct http_route api_webhook_routes[];
extern const struct http_route api_delivery_routes[]; /* of webhooks */
extern const struct http_route api_people_routes[]; /* users and sessions */
extern const struct http_route api_key_routes[];
extern const struct http_route api_system_routes[]; /* ops, stats, health, metrics */
extern const struct http_route api_node_routes[]; /* of those what a node answers that only works */
extern const struct http_route api_admin_watch_routes[]; /* for operators: queue, workers, storage, audit log */
extern const struct http_route api_admin_file_routes[];
extern const struct http_route api_admin_job_routes[];
extern const struct http_route api_admin_people_routes[];
extern const struct http_route api_asset_routes[]; /* the OpenAPI document and its page, what pages load */
extern const struct http_route api_page_routes[]; /* `/`: left out where a surface has its own page there */

#endif
