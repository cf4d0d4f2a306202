/** nginx as a reverse proxy, for comparison with the gateway. */
import { accessSync, constants, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { type MeasuredProcess, startProcess } from "./process.ts"

/** Path of nginx; undefined if it is not installed. */
export const findNginx = (path: string | undefined): string | undefined =>
  // the folders of administrators are not in every user's path
  [...(path ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin"]
    .map((folder) => join(folder, "nginx"))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK)
        return true
      } catch {
        return false
      }
    })

/**
 * A configuration for one worker, without a log, that keeps its connections on both sides. `to` is `host:port`. All
 * files are in `folder`.
 */
export const nginxConfig = (folder: string, port: number, to: string): string => `
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid ${folder}/nginx.pid;
error_log stderr crit;
events { worker_connections 16384; }
http {
  access_log off;
  client_body_temp_path ${folder}/body;
  proxy_temp_path ${folder}/proxy;
  fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi;
  scgi_temp_path ${folder}/scgi;
  keepalive_requests 100000000;
  upstream server {
    server ${to};
    keepalive 128;
    keepalive_requests 100000000;
  }
  server {
    listen 127.0.0.1:${port} backlog=4096;
    location / {
      proxy_pass http://server;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_max_temp_file_size 0;
      proxy_read_timeout 1h;
    }
  }
}
`

/** Where nginx listens and what it stands in front of. */
type NginxOptions = { readonly command: string; readonly folder: string; readonly port: number; readonly to: string }

/** Starts nginx in front of the server at `to` (an origin). */
export const startNginx = ({ command, folder, port, to }: NginxOptions): Promise<MeasuredProcess> => {
  const file = join(folder, "nginx.conf")
  writeFileSync(file, nginxConfig(folder, port, new URL(to).host))
  return startProcess({ command, args: ["-p", folder, "-c", file, "-e", "stderr"], ready: { port } })
}
