/** The dialogs of groups: a new one, and the members of the open one. */

import { ask } from "./confirm.js";
import { addressOf, buttonOf, byId, el, keyed } from "./dom.js";
import { failureText } from "./events.js";
import { userIdError } from "./session.js";

const creating = byId("new-group", HTMLDialogElement);
const creatingForm = /** @type {HTMLFormElement} */ (creating.querySelector("form"));
const groupName = byId("group-name", HTMLInputElement);
const groupUsers = byId("group-users", HTMLTextAreaElement);
const creatingWhy = byId("group-why");
const createButton = byId("create-group", HTMLButtonElement);

const panel = byId("members", HTMLDialogElement);
const membersButton = byId("open-members", HTMLButtonElement);
const panelWhy = byId("members-why");
const renameForm = byId("rename", HTMLFormElement);
const newName = byId("new-name", HTMLInputElement);
const addForm = byId("add", HTMLFormElement);
const newMember = byId("new-member", HTMLInputElement);
const leaveButton = byId("leave", HTMLButtonElement);

/** @type {Chat | undefined} */
let chatOfGroups;
/** The open group. @type {Conversation | undefined} */
let group;

const showMembers = keyed(byId("member-list"), {
  key: (/** @type {MemberRow} */ { member }) => member.id,
  make: ({ member: { id } }) => {
    const role = el("button", { name: "role", onclick: () => group && act(role, group.setRole(id, role.value === "owner" ? "owner" : "member")) });
    const remove = el("button", { name: "remove", className: "danger", ariaLabel: `Remove ${id}`, onclick: () => confirmRemoval(id, remove) }, "Remove");
    return el("li", {}, el("bdi", {}, id), el("small"), role, remove);
  },
  fill: (element, { member: { id, role }, isUser, canChange }) => {
    const [small, change, remove] = /** @type {[HTMLElement, HTMLButtonElement, HTMLButtonElement]} */ ([...element.children].slice(1));
    small.textContent = [isUser && "you", role === "owner" && "owner"].filter(Boolean).join(", ");
    change.hidden = remove.hidden = !canChange || isUser;
    change.value = role === "owner" ? "member" : "owner";
    change.textContent = role === "owner" ? "No longer owner" : "Make owner";
    change.ariaLabel = `${change.textContent}: ${id}`;
  },
  same: (a, b) => JSON.stringify(a) === JSON.stringify(b),
});

/** Lets the user create groups in a chat. @param {Chat} opened */
export function enableGroups(opened) {
  chatOfGroups = opened;
}

/** Shows the button for the members of the open conversation, if that is a group. @param {Conversation} [conversation] */
export function openGroup(conversation) {
  if (group !== conversation) panel.close();
  group = conversation?.isGroup ? conversation : undefined;
  membersButton.hidden = !group;
}

/** Shows what is known of the members. @param {Snapshot} snapshot */
export function drawGroup({ isGroup, title, members, role, isMember }) {
  if (!isGroup) return;
  membersButton.hidden = !isMember;
  membersButton.textContent = members ? `${members.length} ${members.length === 1 ? "member" : "members"}` : "Members";
  if (!isMember) panel.close();
  if (!panel.open) return;
  const canChange = role === "owner";
  byId("members-title").textContent = title;
  renameForm.hidden = addForm.hidden = !canChange;
  const user = chatOfGroups?.user;
  showMembers((members ?? []).map((member) => ({ member, isUser: member.id === user, canChange })));
}

/** Does what a button is for, and says why if that fails. @param {HTMLButtonElement} button @param {Promise<unknown>} change */
async function act(button, change) {
  panelWhy.textContent = "";
  button.ariaDisabled = "true";
  const done = await change.then(() => true, (error) => void (panelWhy.textContent = failureText(error)));
  button.ariaDisabled = null;
  return done;
}

/** @param {string} id @param {HTMLButtonElement} button */
function confirmRemoval(id, button) {
  const question = { title: `Remove ${id}?`, text: "They can read what was written so far, and an owner can add them again.", action: "Remove" };
  ask(question, () => group && act(button, group.removeMember(id)), () => (button.isConnected ? button : buttonOf(panel)).focus());
}

membersButton.addEventListener("click", () => {
  if (!group) return;
  panelWhy.textContent = newMember.value = "";
  newName.value = group.snapshot.title;
  panel.showModal();
  drawGroup(group.snapshot);
});

renameForm.addEventListener("submit", (event) => {
  event.preventDefault();
  const name = newName.value.trim();
  if (group && name !== group.snapshot.title) act(buttonOf(renameForm), group.rename(name));
});

addForm.addEventListener("submit", async (event) => {
  event.preventDefault();
  panelWhy.textContent = userIdError(newMember.value);
  if (!group || panelWhy.textContent) return;
  if (await act(buttonOf(addForm), group.invite([newMember.value]))) newMember.value = "";
  newMember.focus();
});

leaveButton.addEventListener("click", () => {
  const question = { title: "Leave this group?", text: "You can read what was written so far. Only an owner can add you again.", action: "Leave" };
  ask(question, () => group && act(leaveButton, group.leave()), () => panel.open && leaveButton.focus());
});

byId("open-new-group").addEventListener("click", () => {
  creatingWhy.textContent = "";
  creating.showModal();
});

creatingForm.addEventListener("submit", async (event) => {
  if (/** @type {SubmitEvent} */ (event).submitter !== createButton) return;
  event.preventDefault();
  const users = groupUsers.value.split("\n").map((line) => line.trim()).filter(Boolean);
  const problem = users.map((id) => userIdError(id) && `${id.slice(0, 20)}: ${userIdError(id)}`).find(Boolean);
  creatingWhy.textContent = problem ?? "";
  if (!problem && createButton.ariaDisabled !== "true") await create(groupName.value.trim(), users);
});

/** Creates a group and opens it. @param {string} title @param {string[]} users */
async function create(title, users) {
  const history = byId("group-history", HTMLInputElement).checked ? "all" : "joined";
  createButton.ariaDisabled = "true";
  createButton.textContent = "Creating…";
  try {
    const created = await chatOfGroups?.createGroup({ title, users, history });
    if (created && creating.open) location.hash = addressOf(created);
    creating.close();
    creatingForm.reset();
  } catch (error) {
    creatingWhy.textContent = failureText(error);
  } finally {
    createButton.ariaDisabled = null;
    createButton.textContent = "Create group";
  }
}
