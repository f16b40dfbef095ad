// What the pages do by themselves: news every second, Enter sends, older messages in place.
"use strict";

const notice = document.getElementById("notice");
const UNREACHABLE = "The pages' server does not answer. What helps: ./invoke web";

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

// The answer, or null where there is none; why not is said above the page until there is one.
async function ask(url, options) {
  try {
    const answer = await fetch(url, { headers: { Accept: "application/json" }, ...options });
    if (answer.status < 500) {
      say("");
      return answer;
    }
    const { reason, hint } = await answer.json();
    say(`${reason}. What helps: ${hint}`);
  } catch {
    say(UNREACHABLE);
  }
  return null;
}

// Messages

const desk = document.getElementById("desk");
const scroller = document.getElementById("history");
const bubbles = document.getElementById("bubbles");
const newer = document.getElementById("newer");

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
  if (answer?.status !== 200) return;
  const found = await answer.json();
  seen = found.seen;
  showListing(found.listing);
  if (bubbles && found.bubbles.trim()) append(found.bubbles);
  for (const field of document.querySelectorAll("[name=token]")) field.value = found.token;
}

function showListing(html) {
  const listing = document.getElementById("listing");
  const focused = listing.contains(document.activeElement) && document.activeElement.href;
  listing.innerHTML = html;
  if (focused) [...listing.querySelectorAll("a")].find((link) => link.href === focused)?.focus();
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
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const height = scroller.scrollHeight - scroller.scrollTop;
  bubbles.prepend(...page.getElementById("bubbles").children);
  dropRepeatedDays();
  const older = document.getElementById("older");
  older.replaceChildren(...page.getElementById("older").childNodes);
  scroller.scrollTop = scroller.scrollHeight - height;
  (older.querySelector("a") ?? scroller).focus({ preventScroll: true });
}

async function write(event) {
  event.preventDefault();
  const form = event.target;
  const button = form.querySelector("button");
  if (button.disabled) return;
  button.disabled = true;
  const answer = await ask(form.action, { method: "POST", body: new FormData(form) });
  button.disabled = false;
  const found = answer ? await answer.json() : {};
  refuse(form, answer && !answer.ok ? `${found.reason}${found.hint ? `: ${found.hint}` : ""}` : "");
  if (!answer?.ok) return;
  if (found.place !== location.pathname) {
    location.assign(found.place);
    return;
  }
  form.elements.text.value = "";
  await news();
}

function refuse(form, sentence) {
  const place = form.querySelector(".refused");
  place.textContent = sentence;
  place.hidden = !sentence;
}

function sendOnEnter(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  event.target.form.requestSubmit();
}

for (const form of document.querySelectorAll("form[data-write]")) {
  form.addEventListener("submit", write);
  form.elements.text.addEventListener("keydown", sendOnEnter);
}
if (desk) every(1000, news);
if (bubbles) {
  document.getElementById("older").addEventListener("click", showOlder);
  newer.addEventListener("click", toEnd);
  scroller.addEventListener("scroll", () => isAtEnd() && (newer.hidden = true));
  if (!location.search) toEnd();
}

// Environment, and pages of a failure

const live = document.querySelector("[data-live]");
if (live) {
  every(2000, async () => {
    const answer = await ask(location.href);
    if (!answer?.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const html = page.querySelector("[data-live]").innerHTML;
    if (html !== live.innerHTML) live.innerHTML = html;
  });
}

if (document.querySelector("[data-recover]")) {
  every(1000, async () => {
    const answer = await fetch(location.href).catch(() => null);
    if (answer?.ok) location.reload();
  });
}

// For who drives a browser: from here on, a key does what it will do.
document.documentElement.dataset.alive = "";
