document.querySelectorAll(".slider input").forEach((input) =>
  input.addEventListener("input", () => input.parentElement.style.setProperty("--cut", `${input.value}%`)));
