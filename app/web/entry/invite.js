// The code stands behind # so that no server or proxy ever logs it; it is taken out of the address at once.
const field = document.getElementById("token");
if (location.hash.length > 1) {
  field.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
}
document.getElementById("code").hidden = field.value !== "";
document.getElementById("password").focus();
