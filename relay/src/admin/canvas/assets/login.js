//! Logs in without leaving the page, so that a wrong token says so in place.

const form = document.querySelector("form");
const message = document.getElementById("message");
const button = form.querySelector("button");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  message.textContent = "";
  try {
    // A form that the browser sends itself names no origin, since we send no referrer.
    const answer = await fetch("/login", {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      redirect: "manual",
    });
    if (answer.type === "opaqueredirect") {
      location.reload();
      return;
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    message.textContent =
      page.getElementById("message")?.textContent || `The relay answered ${answer.status}.`;
    form.token.select();
  } catch {
    message.textContent = "The relay does not answer.";
  }
  button.disabled = false;
});
