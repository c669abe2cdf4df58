// Copies the text of a code block; without JavaScript it can still be selected.
for (const button of document.querySelectorAll("button[data-copies]")) {
  const said = button.nextElementSibling;
  button.hidden = false;
  button.addEventListener("click", () => {
    const source = document.getElementById(button.dataset.copies);
    const done = () => { said.textContent = button.dataset.done; };
    const select = () => {
      getSelection().selectAllChildren(source);
      if (document.execCommand("copy")) done();
    };
    if (navigator.clipboard) navigator.clipboard.writeText(source.textContent).then(done, select);
    else select();
  });
}
