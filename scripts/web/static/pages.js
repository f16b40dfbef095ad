// What the pages do by themselves: follow what happens, copy, ask before something is replaced,
// check forms, and the Messages: news every second, Enter sends, older messages in place.
"use strict";

const notice = document.getElementById("notice");
const UNREACHABLE = "The server of these pages does not answer. Try: ./invoke web";

function every(milliseconds, task) {
  const again = async () => {
    if (!document.hidden) await task();
    setTimeout(again, milliseconds);
  };
  setTimeout(again, milliseconds);
  document.addEventListener("visibilitychange", () => document.hidden || task());
}

function say(text) {
  if (notice.textContent !== text) notice.textContent = text;
  notice.hidden = !text;
}

function complain({ reason, hint }) {
  say(hint ? `${reason}. Try: ${hint}` : reason);
}

// The answer, or null where there is none; why not is said above the page until there is one.
async function ask(url, options) {
  try {
    const answer = await fetch(url, { headers: { Accept: "application/json" }, ...options });
    if (answer.status < 500 && answer.status !== 403) {
      say("");
      return answer;
    }
    complain(await answer.json());
  } catch {
    say(UNREACHABLE);
  }
  return null;
}

function post(url) {
  const body = new FormData();
  body.set("token", document.querySelector("meta[name=token]").content);
  return ask(url, { method: "POST", body });
}

async function parse(answer) {
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

for (const place of document.querySelectorAll("[data-scripted]")) place.hidden = false;
for (const place of document.querySelectorAll("[data-plain]")) place.hidden = true;

// On a narrow screen the row of pages may be longer than the screen.
const pages = document.querySelector("nav");
const place = pages.querySelector("[aria-current]");
if (place) pages.scrollLeft = place.offsetLeft - (pages.clientWidth - place.offsetWidth) / 2;

// Regions that follow the server: each is asked for at its own address, or the page's, and
// replaced when what the server sends has changed.

const wake = [];
const sent = new Map();

function follow(url, regions) {
  let timer = 0;
  const again = async () => {
    clearTimeout(timer);
    if (!document.hidden) await refresh(url, regions);
    clearTimeout(timer); // another call may have set one meanwhile
    timer = setTimeout(again, Math.min(...regions.map((region) => Number(region.dataset.every))));
  };
  wake.push(again);
  timer = setTimeout(again, Math.min(...regions.map((region) => Number(region.dataset.every))));
}

async function refresh(url, regions) {
  const answer = await ask(url || location.href);
  if (!answer?.ok) return;
  const page = await parse(answer);
  for (const place of page.querySelectorAll("[data-scripted]")) place.hidden = false;
  for (const region of regions) {
    const fresh = page.getElementById(region.id);
    if (!fresh || fresh.outerHTML === sent.get(region.id)) continue;
    sent.set(region.id, fresh.outerHTML);
    replace(region, fresh);
  }
}

// What was open, focused or at its end stays so.
function replace(region, fresh) {
  const open = [...region.querySelectorAll("details[open]")].map((part) => part.id);
  const focused = region.contains(document.activeElement) && document.activeElement.id;
  const atEnd = region.scrollHeight - region.scrollTop - region.clientHeight < 40;
  const ended = region.dataset.state === "busy" && fresh.dataset.state === "idle";
  for (const part of fresh.querySelectorAll("details")) part.open = open.includes(part.id);
  region.replaceChildren(...fresh.childNodes);
  Object.assign(region.dataset, fresh.dataset);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  if (atEnd && "follow" in region.dataset) region.scrollTop = region.scrollHeight;
  if (ended) for (const again of wake) again();
}

const followed = new Map();
for (const region of document.querySelectorAll("[data-live]")) {
  const url = region.dataset.live;
  sent.set(region.id, region.outerHTML);
  followed.set(url, [...(followed.get(url) ?? []), region]);
  if ("follow" in region.dataset) region.scrollTop = region.scrollHeight;
}
for (const [url, regions] of followed) follow(url, regions);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) for (const again of wake) again();
});

if (document.querySelector("[data-recover]")) {
  every(1000, async () => {
    const answer = await fetch(location.href).catch(() => null);
    if (answer?.ok) location.reload();
  });
}

// Copy, show a secret, confirm in a dialog

document.addEventListener("click", (event) => {
  const target = event.target.closest("a, button");
  if (!target) return;
  const { copy, copyFrom, reveal } = target.dataset;
  if (target.getAttribute("aria-disabled") === "true") event.preventDefault();
  else if (copy !== undefined) toClipboard(target, copy);
  else if (copyFrom) secret(copyFrom).then((text) => text !== null && toClipboard(target, text));
  else if (reveal) show(target, reveal);
  else if ("dialog" in target.dataset) openDialog(event, target);
  else if ("cancel" in target.dataset && target.closest("dialog")) {
    event.preventDefault();
    target.closest("dialog").close();
  }
});

async function secret(url) {
  const answer = await post(url);
  if (!answer) return null;
  const found = await answer.json();
  if (!answer.ok) complain(found);
  return answer.ok ? found.value : null;
}

async function toClipboard(button, text) {
  await navigator.clipboard.writeText(text).catch(() => say("The browser does not allow to copy."));
  const before = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = before), 1500);
}

async function show(button, url) {
  const code = button.parentElement.querySelector("code");
  if (code.dataset.hidden) {
    code.textContent = code.dataset.hidden;
    delete code.dataset.hidden;
    button.textContent = "Show";
    return;
  }
  const text = await secret(url);
  if (text === null) return;
  code.dataset.hidden = code.textContent;
  code.textContent = text;
  button.textContent = "Hide";
}

async function openDialog(event, link) {
  event.preventDefault();
  const answer = await ask(link.href);
  if (!answer) return;
  if (!answer.ok) {
    complain(await answer.json());
    return;
  }
  const form = (await parse(answer)).querySelector("form.sheet");
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-labelledby", "sheet-title");
  dialog.append(document.adoptNode(form));
  dialog.addEventListener("close", () => {
    dialog.remove();
    document.getElementById(link.id)?.focus();
  });
  document.body.append(dialog);
  dialog.showModal();
  dialog.querySelector("[autofocus]")?.focus();
}

// Forms that are checked by the server: an error is shown at its field until that is changed.

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("form[data-check]")) return;
  event.preventDefault();
  const button = form.querySelector("button");
  if (button.disabled) return;
  button.disabled = true;
  const answer = await ask(form.action, { method: "POST", body: new FormData(form) });
  button.disabled = false;
  if (!answer) return;
  const found = await answer.json();
  if (!answer.ok) refuse(form, found);
  else if (form.matches("[data-write]") && found.place === location.pathname) await written(form);
  else location.assign(found.place);
});

function refuse(form, { reason, hint, field }) {
  const place = form.querySelector(".refused");
  place.textContent = hint ? `${reason}: ${hint}` : reason;
  place.hidden = false;
  const input = form.elements[field];
  input?.setAttribute("aria-invalid", "true");
  input?.focus();
}

document.addEventListener("input", (event) => {
  const form = event.target.closest("form[data-check]");
  if (!form) return;
  form.querySelector(".refused").hidden = true;
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
});

// The query box: Ctrl+Enter runs, and an error puts the cursor where it is.

const query = document.querySelector("[data-run]");
query?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) query.form.requestSubmit();
});
if (Number(query?.dataset.position)) {
  query.focus();
  query.setSelectionRange(query.dataset.position - 1, query.dataset.position - 1);
}
for (const part of document.querySelectorAll("[data-between]")) {
  const condition = part.closest("form").elements.is;
  const update = () => (part.hidden = condition.value !== "between");
  condition.addEventListener("change", update);
  update();
}

// Messages

const desk = document.getElementById("desk");
const scroller = document.getElementById("history");
const bubbles = document.getElementById("bubbles");
const newer = document.getElementById("newer");
const TITLE = document.title;

let seen = "";
let queue = Promise.resolve(); // one question at a time, or an answer would be shown twice

function news() {
  queue = queue.then(fetchNews, fetchNews);
  return queue;
}

async function fetchNews() {
  const after = bubbles?.querySelector(".bubble:last-child")?.dataset.at ?? "";
  const words = new URLSearchParams({ seen, group: desk.dataset.group, after });
  const answer = await ask(`${desk.dataset.news}?${words}`);
  if (answer?.status === 200) {
    const found = await answer.json();
    seen = found.seen;
    showListing(found.listing);
    if (bubbles && found.bubbles.trim()) append(found.bubbles);
    for (const field of document.querySelectorAll("[name=token]")) field.value = found.token;
  }
  markUnread();
}

function showListing(html) {
  const listing = document.getElementById("listing");
  const focused = listing.contains(document.activeElement) && document.activeElement.href;
  listing.innerHTML = html;
  if (focused) [...listing.querySelectorAll("a")].find((link) => link.href === focused)?.focus();
}

// This browser remembers up to when each conversation was read. At the first visit all is read.
function markUnread() {
  const key = `read ${desk.dataset.me}`;
  const rows = [...document.querySelectorAll("#listing a")];
  const times = rows.map((row) => [row.dataset.group, row.dataset.at]);
  const read = JSON.parse(localStorage.getItem(key)) ?? Object.fromEntries(times);
  let count = 0;
  for (const row of rows) {
    const { group, at } = row.dataset;
    if (group === desk.dataset.group && !document.hidden) read[group] = at;
    const isUnread = at > (read[group] ?? "");
    row.classList.toggle("is-unread", isUnread);
    count += isUnread;
  }
  localStorage.setItem(key, JSON.stringify(read));
  document.title = count ? `(${count}) ${TITLE}` : TITLE;
}

function append(html) {
  const atEnd = isAtEnd();
  bubbles.insertAdjacentHTML("beforeend", html);
  dropRepeatedDays();
  const mine = bubbles.querySelector(".bubble:last-child").matches(".mine");
  if (atEnd || mine) toEnd();
  else newer.hidden = false;
}

function isAtEnd() {
  return scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 40;
}

function toEnd() {
  scroller.scrollTop = scroller.scrollHeight;
}

function dropRepeatedDays() {
  let last = "";
  for (const day of bubbles.querySelectorAll(".day")) {
    if (day.textContent === last) day.remove();
    last = day.textContent;
  }
}

// What was on the screen stays where it was.
async function showOlder(event) {
  const link = event.target.closest("a");
  if (!link) return;
  event.preventDefault();
  const answer = await ask(link.href);
  if (!answer?.ok || !link.isConnected) return;
  const page = await parse(answer);
  const height = scroller.scrollHeight - scroller.scrollTop;
  bubbles.prepend(...page.getElementById("bubbles").children);
  dropRepeatedDays();
  const older = document.getElementById("older");
  older.replaceChildren(...page.getElementById("older").childNodes);
  scroller.scrollTop = scroller.scrollHeight - height;
  (older.querySelector("a") ?? scroller).focus({ preventScroll: true });
}

async function written(form) {
  form.elements.text.value = "";
  await news();
}

// On a phone Enter starts a new line: there is a button to send.
function sendOnEnter(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  if (matchMedia("(pointer: coarse)").matches) return;
  event.preventDefault();
  event.target.form.requestSubmit();
}

for (const form of document.querySelectorAll("form[data-write]")) {
  form.elements.text.addEventListener("keydown", sendOnEnter);
}
if (desk) {
  markUnread();
  every(1000, news);
}
if (bubbles) {
  document.getElementById("older").addEventListener("click", showOlder);
  newer.addEventListener("click", toEnd);
  scroller.addEventListener("scroll", () => isAtEnd() && (newer.hidden = true));
  if (!location.search) toEnd();
}

// For who drives a browser: from here on, a key does what it will do.
document.documentElement.dataset.alive = "";
