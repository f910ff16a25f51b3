// What the console asks of the station.

import { call } from "/page/api.js";

const part = encodeURIComponent;

/** A query string of what is not left out. */
const query = (values) => new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value !== undefined));

export const overview = () => call("GET", "/api/overview");
export const policy = () => call("GET", "/api/policy");

export const devices = (filter) => call("GET", `/api/registry/devices?${query(filter)}`);
export const device = (id) => call("GET", `/api/registry/devices/${part(id)}`);
export const atBed = (bed) => call("GET", `/api/registry/beds/${part(bed)}`);
const placeOf = (id) => `/api/registry/devices/${part(id)}/place`;
export const placed = (id) => call("GET", placeOf(id), undefined, undefined, { tagged: true });
export const place = (id, place, tag) => call("POST", placeOf(id), place, undefined, { tag });
export const decommission = (id) => call("POST", `/api/registry/devices/${part(id)}/decommission`, {});
export const acceptAudit = (id) => call("POST", `/api/registry/devices/${part(id)}/accept-audit`, {});
export const rekey = (id, manifest) => call("POST", `/api/registry/devices/${part(id)}/rekey`, new Blob([manifest]));
export const importManifest = (file) => call("POST", "/api/registry/import", file);

export const certificates = (filter) => call("GET", `/api/certificates?${query(filter)}`);
export const revoke = (serial, reason) => call("POST", `/api/certificates/${part(serial)}/revoke`, { reason });

export const batches = (page) => call("GET", `/api/batches?${query(page)}`);
export const openBatch = (name, manifest) => call("POST", `/api/batches?${query({ name })}`, manifest);
export const batch = (id) => call("GET", `/api/batches/${part(id)}`);
export const batchEvents = (id) => `/api/batches/${part(id)}/events`;
export const batchReport = (id) => `/api/batches/${part(id)}/report`;
export const moveBatch = (id, to) => call("POST", `/api/batches/${part(id)}/${to}`, {});
export const retryBatch = (id, rows) => call("POST", `/api/batches/${part(id)}/retry`, rows && { rows });

export const operators = () => call("GET", "/api/operators");
export const addOperator = (operator, role) => call("POST", "/api/operators", { operator, role });
export const setAccess = (operator, disabled) => call("POST", `/api/operators/${part(operator)}/access`, { disabled });
export const resetPassword = (operator) => call("POST", `/api/operators/${part(operator)}/one-time-password`, {});

export const audit = (page) => call("GET", `/api/audit?${query(page)}`);
export const verifyAudit = () => call("GET", "/api/audit/verify");
