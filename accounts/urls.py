"""Sharing, one's own account, and logging in. Of allauth's pages only those that we use."""

from allauth.account import views as allauth_account
from allauth.socialaccount import views as allauth_social
from allauth.usersessions import views as allauth_sessions
from django.contrib.auth.views import LogoutView
from django.urls import include, path, re_path

from . import account, views
from .login import LoginView, with_mail

MEMBERS = "kb/<str:slug>/members/"

urlpatterns = [
    path("kb/<str:slug>/about/", views.about, name="about"),
    path("kb/<str:slug>/delete/", views.delete, name="delete-knowledge-base"),
    path(MEMBERS, views.members, name="members"),
    path(f"{MEMBERS}add", views.add, name="add-member"),
    path(f"{MEMBERS}leave", views.leave, name="leave"),
    path(f"{MEMBERS}<int:user_id>/role", views.change_member, name="change-member"),
    path(f"{MEMBERS}<int:user_id>/remove", views.remove_member, name="remove-member"),
    path(f"{MEMBERS}<int:user_id>/hand-over", views.hand_over, name="hand-over"),
    path(f"{MEMBERS}groups/add", views.add_group, name="add-group"),
    path(f"{MEMBERS}groups/<int:group_id>/role", views.change_group, name="change-group"),
    path(f"{MEMBERS}groups/<int:group_id>/remove", views.remove_group, name="remove-group"),
    path(f"{MEMBERS}invite", views.invite, name="invite"),
    path(
        f"{MEMBERS}invitations/<int:invitation_id>/end",
        views.end_invitation,
        name="end-invitation",
    ),
    path("account/", account.account, name="account"),
    path("account/profile", account.profile, name="profile"),
    path("account/password/", account.password, name="password"),
    path("account/tokens", account.make_token, name="make-token"),
    path("account/tokens/<int:token_id>/end", account.end_token, name="end-token"),
    path("invitations/<str:secret>/", views.invitation, name="invitation"),
    # Each by our name and by allauth's.
    path("login/", LoginView.as_view(), name="login"),
    path("login/", LoginView.as_view(), name="account_login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("logout/", LogoutView.as_view(), name="account_logout"),
    path("account/password/", account.password, name="account_change_password"),
    path("signup/", allauth_account.signup, name="account_signup"),
    path("account/inactive/", allauth_account.account_inactive, name="account_inactive"),
    path("account/confirm/", allauth_account.reauthenticate, name="account_reauthenticate"),
    path("account/mail/", with_mail(allauth_account.email), name="account_email"),
    path(
        "account/mail/sent/",
        allauth_account.email_verification_sent,
        name="account_email_verification_sent",
    ),
    re_path(
        r"^account/mail/confirm/(?P<key>[-:\w]+)/$",
        allauth_account.confirm_email,
        name="account_confirm_email",
    ),
    path("password/", with_mail(allauth_account.password_reset), name="account_reset_password"),
    path("password/sent/", allauth_account.password_reset_done, name="account_reset_password_done"),
    re_path(
        r"^password/new/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$",
        allauth_account.password_reset_from_key,
        name="account_reset_password_from_key",
    ),
    path(
        "password/done/",
        allauth_account.password_reset_from_key_done,
        name="account_reset_password_from_key_done",
    ),
    path("account/sessions/", allauth_sessions.list_usersessions, name="usersessions_list"),
    path("account/second-factor/", include("allauth.mfa.urls")),
    path("", include("allauth.socialaccount.providers.openid_connect.urls")),
    path("account/provider/", allauth_social.connections, name="socialaccount_connections"),
    path("oidc/signup/", allauth_social.signup, name="socialaccount_signup"),
    path("oidc/cancelled/", allauth_social.login_cancelled, name="socialaccount_login_cancelled"),
    path("oidc/error/", allauth_social.login_error, name="socialaccount_login_error"),
]
