// Calls to the server's REST API, in the browser's session.

const CHAT = "/api/v1/chat";
const BASE = `${CHAT}/sessions`;

export class ApiError extends Error {
  constructor(code, detail, status) {
    super(detail);
    this.code = code;
    this.status = status;
  }
}

const token = () => document.querySelector("[name=csrfmiddlewaretoken]").value;

async function call(method, path, body) {
  const headers = { "X-CSRFToken": token(), Accept: "application/json" };
  const isFile = body instanceof Blob;
  if (body !== undefined) headers["Content-Type"] = isFile ? "application/octet-stream" : "application/json";
  let response;
  try {
    response = await fetch(BASE + path, { method, headers, body: isFile ? body : body && JSON.stringify(body) });
  } catch {
    throw new ApiError("network", "", 0);
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => ({}));
  if (!response.ok) throw new ApiError(answer.code ?? "error", answer.detail ?? "", response.status);
  return answer;
}

export const createSession = (wish) => call("POST", "", wish);
export const changeSession = (id, change) => call("PATCH", `/${id}`, change);
export const deleteSession = (id) => call("DELETE", `/${id}`);
export const sendMessage = (id, message) => call("POST", `/${id}/messages`, message);
export const attach = (id, file) => call("POST", `/${id}/attachments?${new URLSearchParams({ name: file.name })}`, file);
export const detach = (id, fileId) => call("DELETE", `/${id}/attachments/${fileId}`);
export const fileUrl = (id, fileId) => `${BASE}/${id}/attachments/${fileId}`;
export const olderMessages = (id, before) => call("GET", `/${id}/messages?limit=50&cursor=${before}`);
export const findSessions = (filters) => call("GET", `?limit=100&${new URLSearchParams(filters)}`);
export const changeSessions = (wish) => call("POST", "/bulk", wish);
export const exportUrl = (id, format) => `${BASE}/${id}/export?as=${format}`;
export const exportAllUrl = (filters) => `${CHAT}/export?${new URLSearchParams({ as: "json", ...filters })}`;
