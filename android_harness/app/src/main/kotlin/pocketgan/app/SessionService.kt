package pocketgan.app

import android.app.Notification
import android.app.NotificationChannel
import android.app.NotificationManager
import android.app.Service
import android.content.Intent
import android.os.IBinder
import android.util.Log
import org.pocketgan.harness.R

/** Name of a folder below `sessions/`. */
internal const val EXTRA_SESSION = "session"

/** Ends the session that is under way, between two frames. */
internal const val ACTION_CANCEL = "org.pocketgan.harness.CANCEL"

private const val CHANNEL = "session"
private const val NOTIFICATION = 1

/**
 * Of every thread that runs models: a main thread's. ONNX Runtime 1.29 reads the process's command line by recursion, some 250 bytes of stack a character:
 * 4,000 characters, as those of a JVM with a class path, overflow the 1 MB that other threads have.
 */
internal const val STACK_BYTES = 8L shl 20

/**
 * Carries out sessions in the foreground. The shell alone may start it:
 *
 * `am start-foreground-service -n org.pocketgan.harness/pocketgan.app.SessionService --es session NAME`
 */
internal class SessionService : Service() {
    override fun onBind(intent: Intent?): IBinder? = null

    override fun onStartCommand(intent: Intent?, flags: Int, startId: Int): Int {
        // Within seconds of every start, whatever it asks, or Android ends the process.
        startForeground(NOTIFICATION, notification())
        if (intent?.action == ACTION_CANCEL) {
            Harness.cancel()
            if (Harness.doing !is Doing.Cancelling) stopSelf(startId)
        } else {
            begin(intent?.getStringExtra(EXTRA_SESSION).orEmpty())
        }
        // Not again by itself: the host sees that the process is gone, and goes on where results end.
        return START_NOT_STICKY
    }

    override fun onDestroy() {
        Harness.cancel()
        super.onDestroy()
    }

    private fun begin(name: String) {
        val cancellation = Harness.begin(name)
        if (cancellation == null) {
            Log.e(LOG_TAG, "session $name: another one is not over yet")
            return
        }
        val folder = sessionFolder(this, name)
        if (folder == null) {
            end(name, "no folder sessions/$name")
            return
        }
        Thread(null, { end(name, carryOut(this, folder, name, cancellation)) }, "session", STACK_BYTES).start()
    }

    private fun end(name: String, error: String?) {
        Log.i(LOG_TAG, "session $name: ${error ?: "done"}")
        Harness.end(name, error)
        stopSelf()
    }

    private fun notification(): Notification {
        val channel = NotificationChannel(CHANNEL, getString(R.string.app_name), NotificationManager.IMPORTANCE_LOW)
        getSystemService(NotificationManager::class.java).createNotificationChannel(channel)
        return Notification.Builder(this, CHANNEL)
            .setSmallIcon(R.drawable.harness)
            .setContentTitle(getString(R.string.measuring))
            .setOngoing(true)
            .build()
    }
}
